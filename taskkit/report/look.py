"""What was seen of a run's data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from taskkit.contracts.facts import DataProblem
from taskkit.explanation.value import Explanation


@dataclass(frozen=True)
class Look:
    """What was seen; all of it is empty where the data could not be had."""

    lacking: str = ""
    """Why they could not, in words."""
    shown: Mapping[str, Any] = field(default_factory=dict)
    """Inputs by the ids of their examples, as `Fact.show` gave them."""
    problems: tuple[DataProblem, ...] = ()
    classes: Mapping[str, int] = field(default_factory=dict)
    """How many training examples each has."""
    explained: tuple[Explanation, ...] = ()
    """Why some answers are what they are."""
