"""One line in a test file by which a plugin's tests are the checks of the kit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskkit.errors import TaskkitError
from taskkit.plugins.discovery import from_environment
from taskkit.testing.finding import Level
from taskkit.testing.plan import CHECKS, due
from taskkit.testing.subject import find

if TYPE_CHECKING:
    from taskkit.testing.kit import Kit
    from taskkit.testing.plan import Unit

SLOW = "taskkit_slow"
"""The marker of tests that may be left to a longer run."""
PROPERTY = "taskkit conformance"
"""The name under which a test's report holds what was found."""


def conformance(plugin: str | Path, *, level: Level = "gold", file: str | Path | None = None) -> type:
    """A class of tests, one for each check of a plugin up to a level: `TestConformance = conformance("taskkit-foo")`.

    `plugin` is the name of the installed distribution or its source folder. `file` is its conformance.yaml; without it
    that of the folder's tests, or of the package, is taken. A check that fails, or could not be made, fails its test;
    one that is not due, or that the plugin is exempt from, skips it with the reason. Tests of one class share what they
    train, so let one process run them all.
    """
    import pytest

    try:
        subject = find(plugin, from_environment(), [check.name for check in CHECKS], Path(file) if file else None)
    except TaskkitError as error:
        # In words, while tests are collected: whoever reads it need not see the kit's own code.
        pytest.fail(str(error), pytrace=False)
    units = due(subject, level)

    def marks(unit: Unit) -> list[pytest.MarkDecorator]:
        return [getattr(pytest.mark, SLOW)] if unit.slow else []

    class Conformance:
        """What the kit checks of one plugin."""

        @pytest.fixture(scope="class")
        @classmethod
        def kit(cls) -> Iterator[Kit]:
            """The kit, which all checks share."""
            from taskkit.testing.kit import kit

            with kit(subject) as opened:
                yield opened

        @pytest.mark.parametrize("unit", [pytest.param(unit, marks=marks(unit), id=str(unit)) for unit in units])
        def test(self, unit: Unit, kit: Kit, record_property: Any) -> None:
            """It holds, or the plugin is exempt from it."""
            found = kit.finding(unit)
            record_property(
                PROPERTY,
                {
                    "distribution": subject.distribution,
                    "version": subject.version,
                    "asked": level,
                    "due": len(units),
                    "finding": asdict(found),
                },
            )
            if not found.holds:
                pytest.fail(f"{unit.check.holds} {found.outcome}: {found.found}\n{found.cure}", pytrace=False)
            if found.outcome != "pass":
                pytest.skip(f"{found.outcome}: {found.exemption or found.found}")

    return Conformance
