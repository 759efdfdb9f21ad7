"""The kit: it makes the checks of a plugin one by one, and lets pass what the plugin is exempt from."""

from __future__ import annotations

import contextlib
import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from taskkit.contracts.component import Component
from taskkit.engine.machine import in_words
from taskkit.errors import TaskkitError
from taskkit.testing import bronze, gold, silver
from taskkit.testing.declared import Exemption
from taskkit.testing.finding import Finding, Level, Report
from taskkit.testing.plan import Unit
from taskkit.testing.seen import NotDue, NotRun, Seen
from taskkit.testing.subject import HOST, Subject
from taskkit.testing.trial import Trial
from taskkit.verify.lab import Bounds, implementations, lab, may_fork
from taskkit.verify.workshop import Workshop, workshops
from taskkit.wording import on_one_line

BOUNDS = Bounds(steps=4, examples=16, kills=1)
"""How much a proof may do: enough for what is wrong to show, little enough to be done often."""


@dataclass
class Kit:
    """What makes the checks of one plugin, one after another."""

    subject: Subject
    _stack: contextlib.ExitStack
    _ready: tuple[Workshop, Workshop] | None
    _trials: dict[str, Trial] = field(default_factory=dict)

    def finding(self, unit: Unit) -> Finding:
        """Make one check; whatever the plugin's code raises is what it found."""
        began = time.monotonic()
        with contextlib.chdir(self.subject.home), _silent():
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
        name, of = unit.check.name, unit.of
        try:
            with in_words():
                if name in _OF_PLUGIN:
                    return _OF_PLUGIN[name](self.subject)
                if name in _OF_COMPONENT:
                    return _OF_COMPONENT[name](self.subject, self.subject.component(of))
                return _OF_RECIPE[name](self._trial(of))
        except (NotDue, NotRun):
            raise
        except TaskkitError as error:
            return Seen(on_one_line(str(error)), "Mend what it says.")
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(frame.filename).name}, line {frame.lineno}"
            return Seen(f"{type(error).__name__}: {on_one_line(str(error))}, in {place}", "Mend what raised it.")

    def _trial(self, name: str) -> Trial:
        """What tries a recipe; raises NotRun for one that has problems."""
        if name not in self._trials:
            tried = self.subject.tried[name]
            if tried.resolved is None:
                raise NotRun(f"the recipe has problems: {on_one_line(tried.problem)}", "Mend the recipe.")
            recipe = tried.resolved.recipe
            place = lab(recipe, self.subject.plugins, BOUNDS, self._workshops)
            self._trials[name] = Trial(self._stack.enter_context(place), self.subject.declared.tolerance)
        return self._trials[name]

    @cached_property
    def _workshops(self) -> tuple[Workshop, Workshop]:
        """Where all trainings are forked, which have imported what the recipes need."""
        if self._ready is not None:
            return self._ready
        recipes = [tried.resolved.recipe for tried in self.subject.tried.values() if tried.resolved is not None]
        modules = sorted({module for recipe in recipes for module in implementations(recipe)})
        return self._stack.enter_context(workshops(modules, forks=all(map(may_fork, recipes))))


def _let_pass(seen: Seen, exemption: Exemption) -> bool:
    """Whether a plugin is exempt from all that does not hold."""
    return bool(seen.faults) and all(
        any(fnmatchcase(fault, pattern) for pattern in exemption.only) for fault in seen.faults
    )


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep to itself what is logged of inputs that are hostile on purpose."""
    logger = logging.getLogger("taskkit")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def kit(subject: Subject, ready: tuple[Workshop, Workshop] | None = None) -> Iterator[Kit]:
    """A kit for a plugin; what it trained is gone at the end. `ready` are workshops that there are already."""
    with contextlib.ExitStack() as stack:
        yield Kit(subject, stack, ready)


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
    "wheel": gold.wheel,
    "documented": gold.documented,
    "typed": gold.typed,
}
_OF_COMPONENT: Mapping[str, Callable[[Subject, Component], Seen]] = {
    "exercised": silver.exercised,
    "inspect": silver.inspect,
}
_OF_RECIPE: Mapping[str, Callable[[Trial], Seen]] = {
    "trains": silver.trains,
    "overfits": silver.overfits,
    "moves": silver.moves,
    "baseline": silver.baseline,
    "predicts": silver.predicts,
    "intervals": silver.intervals,
    "hostile": silver.hostile,
    **{
        name: silver.proof(name)
        for name in (
            *(
                "determinism",
                "resume",
                "batch-size",
                "order",
                "processes",
                "accumulate",
                "precision",
                "devices",
                "export",
            ),
        )
    },
}
