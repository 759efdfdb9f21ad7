"""The plugin for pytest: after the tests it says which level each plugin reached, and on how many checks that rests."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from taskkit.testing.finding import Finding, Report
from taskkit.testing.line import PROPERTY, SLOW
from taskkit.testing.subject import HOST


def pytest_configure(config: Any) -> None:
    """Make the marker known."""
    meaning = (
        "a check of the kit in two processes, or of any recipe but the first: `-m 'not taskkit_slow'` leaves it out"
    )
    config.addinivalue_line("markers", f"{SLOW}: {meaning}")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print a line for each plugin whose checks were among the tests."""
    for report in reports(terminalreporter.stats):
        terminalreporter.write_line(report.said)


def reports(stats: dict[str, list[Any]]) -> list[Report]:
    """What the checks came to that are among the reports of tests, a report for each plugin."""
    said: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for outcome in ("passed", "failed", "skipped"):
        for test in stats.get(outcome, ()):
            for name, value in getattr(test, "user_properties", ()):
                if name == PROPERTY:
                    said.setdefault((value["distribution"], value["asked"]), []).append(value)
    return [
        Report(
            distribution,
            values[0]["version"],
            version(HOST),
            values[0]["asked"],
            [Finding(**value["finding"]) for value in values],
            missing=values[0]["due"] - len(values),
        )
        for (distribution, _), values in said.items()
    ]
