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
    Check("exercised", "silver", "component", "A recipe that the kit tries names the component."),
    Check("inspect", "silver", "data", "`inspect` finds the faults that were planted, and only there."),
    Check("trains", "silver", "recipe", "The recipe trains and tests to its end."),
    Check("overfits", "silver", "recipe", "One batch can be learnt by heart."),
    Check("moves", "silver", "recipe", "Every parameter that is trained moves."),
    Check("baseline", "silver", "recipe", "The run beats the trivial baseline, or the network before training."),
    Check("determinism", "silver", "recipe", "The same seed gives the same losses and weights."),
    Check("resume", "silver", "recipe", "A run that is killed and gone on with is the same, bit for bit."),
    Check("batch-size", "silver", "recipe", "Metrics and scores do not depend on batch size and padding."),
    Check("order", "silver", "recipe", "Metrics and scores do not depend on the order of the examples."),
    Check("processes", "silver", "recipe", "Metrics and scores of two processes are those of one."),
    Check("accumulate", "silver", "recipe", "Batches that share a step weigh as one batch of all of them."),
    Check("predicts", "silver", "recipe", "A run answers alike from its directory alone, in any order of calls."),
    Check("intervals", "silver", "recipe", "Every metric of the test has its interval."),
    Check("hostile", "silver", "recipe", "Hostile inputs give a prediction or a clear error."),
    Check("precision", "gold", "recipe", "Losses in bf16 and in 32 bits agree."),
    Check("devices", "gold", "recipe", "Two processes take the steps that one takes."),
    Check("export", "gold", "recipe", "The network answers alike once it is exported."),
    Check("wheel", "gold", "plugin", "It works from its wheel, without its source."),
    Check("documented", "gold", "plugin", "There are a README and a docstring for each component."),
    Check("typed", "gold", "plugin", "It ships py.typed, and mypy --strict finds nothing."),
)


SLOW = frozenset({"processes", "devices", "wheel", "typed"})
"""What takes longest, and changes with the package more than with a line of its code."""


@dataclass(frozen=True)
class Unit:
    """A check of one thing."""

    check: Check
    of: str
    slow: bool = False
    """Whether it may be left to a longer run of the tests."""

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
    return [
        Unit(check, of, slow=check.name in SLOW or (check.per == "recipe" and number > 0))
        for check in CHECKS
        if check.level in wanted
        for number, of in enumerate(dict.fromkeys(things[check.per]))
    ]
