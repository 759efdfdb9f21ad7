"""Which checks there are, and which of them are due for a plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from taskkit.testing.finding import LEVELS, Level
from taskkit.testing.subject import Subject

Per = Literal["plugin", "component", "data", "recipe"]
"""What a check is made once of: the plugin, each of its components, each of its data modules, each recipe."""


@dataclass(frozen=True)
class Check:
    """One thing that must hold."""

    name: str
    level: Level
    per: Per
    holds: str
    """What must hold, as a sentence."""


CHECKS: tuple[Check, ...] = (
    Check("loads", "bronze", "plugin", "The plugin is found and loads, without torch."),
    Check("light", "bronze", "plugin", "It loads within 150 ms of CPU time, its sections and facts with it."),
    Check("declared", "bronze", "plugin", "What is declared exists and is what the contracts want."),
    Check("described", "bronze", "plugin", "Every section, field and fact says what it is."),
    Check("recipes", "bronze", "plugin", "Every recipe that is shipped has no problems."),
    Check("names", "bronze", "plugin", "Nothing that it declares is declared by another plugin too."),
)


@dataclass(frozen=True)
class Unit:
    """A check of one thing."""

    check: Check
    of: str

    def __str__(self) -> str:
        return f"{self.check.level}-{self.check.name}-{self.of}"


def due(subject: Subject, level: Level) -> Sequence[Unit]:
    """The checks of a plugin up to a level, in the order in which they are made."""
    things: Mapping[Per, Sequence[str]] = {
        "plugin": [subject.distribution],
        "component": [component.name for component in subject.components],
        "data": [component.name for component in subject.components if component.kind == "data"],
        "recipe": [*subject.tried],
    }
    wanted = LEVELS[: LEVELS.index(level) + 1]
    return [Unit(check, of) for check in CHECKS if check.level in wanted for of in things[check.per]]
