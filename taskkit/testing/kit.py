"""The kit: it makes the checks of a plugin one by one, and lets pass what the plugin is exempt from."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from importlib.metadata import version

from taskkit.errors import TaskkitError
from taskkit.testing import bronze
from taskkit.testing.declared import Exemption
from taskkit.testing.finding import Finding, Level, Report
from taskkit.testing.plan import Unit
from taskkit.testing.seen import NotDue, NotRun, Seen
from taskkit.testing.subject import Subject
from taskkit.wording import on_one_line

HOST = "taskkit-ml"


@dataclass(frozen=True)
class Kit:
    """What makes the checks of one plugin."""

    subject: Subject

    def finding(self, unit: Unit) -> Finding:
        """Make one check; whatever the plugin's code raises is what it found."""
        began = time.monotonic()
        with contextlib.chdir(self.subject.home):
            found = self._finding(unit)
        return replace(found, seconds=time.monotonic() - began)

    def _finding(self, unit: Unit) -> Finding:
        check, of = unit.check, unit.of
        exemption = self.subject.declared.exemption(check.name, of)
        expired = exemption is not None and exemption.expired(self.subject.version, datetime.now(UTC).date())
        if exemption is not None and not expired and not exemption.only:
            return Finding(check.name, check.level, of, "exempt", "not made", exemption=str(exemption))
        try:
            seen = self._seen(unit)
        except NotDue as reason:
            return Finding(check.name, check.level, of, "not due", str(reason))
        except NotRun as reason:
            return Finding(check.name, check.level, of, "not run", str(reason), reason.cure)
        if not seen.holds and exemption is not None:
            if expired:
                ended = f"{seen.found}; its exemption has ended: {exemption}"
                return Finding(check.name, check.level, of, "fail", ended, seen.cure)
            if _let_pass(seen, exemption):
                return Finding(check.name, check.level, of, "exempt", seen.found, exemption=str(exemption))
        return Finding(check.name, check.level, of, "pass" if seen.holds else "fail", seen.found, seen.cure)

    def _seen(self, unit: Unit) -> Seen:
        try:
            return _OF_PLUGIN[unit.check.name](self.subject)
        except (NotDue, NotRun):
            raise
        except TaskkitError as error:
            return Seen(on_one_line(str(error)), "Mend what it says.")
        except Exception as error:
            return Seen(f"{type(error).__name__}: {on_one_line(str(error))}", "Mend what raised it.")


def _let_pass(seen: Seen, exemption: Exemption) -> bool:
    """Whether a plugin is exempt from all that does not hold."""
    return bool(seen.faults) and all(
        any(fnmatchcase(fault, pattern) for pattern in exemption.only) for fault in seen.faults
    )


@contextlib.contextmanager
def kit(subject: Subject) -> Iterator[Kit]:
    """A kit for a plugin; what it made is gone at the end."""
    yield Kit(subject)


def report(subject: Subject, findings: Sequence[Finding], asked: Level, missing: int = 0) -> Report:
    """What checks up to a level came to; `missing` of them nobody made."""
    return Report(subject.distribution, subject.version, version(HOST), asked, findings, missing)


_OF_PLUGIN: Mapping[str, Callable[[Subject], Seen]] = {
    "loads": bronze.loads,
    "light": bronze.light,
    "declared": bronze.declared,
    "described": bronze.described,
    "recipes": bronze.recipes,
    "names": bronze.names,
}
