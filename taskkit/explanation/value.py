"""An explanation as a value, which JSON can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from taskkit.contracts.facts import Word

MethodName = Literal["integrated-gradients", "occlusion", "shap", "grad-cam", "attention-rollout"]
"""The names of `explanation.methods`, for those who must not import torch."""


@dataclass(frozen=True)
class Sum:
    """Whether attributions add up to what they are said to explain."""

    attributed: float
    """All attributions together."""
    change: float
    """How far the explained number is from that of the baseline."""
    tolerance: float
    """How far these two may be apart."""

    @property
    def holds(self) -> bool:
        """Whether they are no farther apart."""
        return abs(self.attributed - self.change) <= self.tolerance


@dataclass(frozen=True)
class Part:
    """Attributions to one tensor of the input."""

    name: str
    """Of the tensor."""
    kind: Literal["picture", "text", "items", "sequence", "number"]
    values: Any
    """A number, a list of them or, of a picture, a list of its rows; what is positive speaks for the answer."""
    names: Sequence[str] = ()
    """What stands at each place, where that has a name."""
    seen: Any = None
    """What the network was given, to be drawn: rows of pixels, each of channels from 0 to 255, or rows of shades from 0
    to 1, or numbers. It is no part of what JSON holds."""


@dataclass(frozen=True)
class Neighbour:
    """A training example that the network sees as like the input."""

    id: str
    similarity: float
    """The cosine of the angle between what the network makes of the two."""
    target: Any
    """As a person reads it; None: it has none."""
    shown: Any = None
    """Its input, as `Fact.show` gave it. It is no part of what JSON holds."""


@dataclass(frozen=True)
class Explanation:
    """Why an answer is what it is, by one method."""

    input: str
    """The id of the example, with the number of the window where it has several."""
    answer: str
    """What is explained."""
    quantity: str
    """What the number is that stands for it, as `logit`."""
    score: float
    method: str
    parts: Sequence[Part] = ()
    sum: Sum | None = None
    """None: the method promises no sum."""
    baseline: str = ""
    """What the input is compared with, in words; empty: with nothing."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What else decided the numbers: steps, samples, the layer."""
    neighbours: Sequence[Neighbour] = ()
    words: Sequence[Word] = ()
    """Where parts of the answer lie."""
    seconds: float | None = None
    """How long an input is that lies in time; None: it does not, or nobody knows."""

    def plain(self) -> dict[str, Any]:
        """All of it as JSON can hold it, with whether the sum holds."""
        held = asdict(replace(self, parts=[replace(part, seen=None) for part in self.parts], neighbours=()))
        held["parts"] = [{k: v for k, v in part.items() if k != "seen"} for part in held["parts"]]
        held["neighbours"] = [{"id": n.id, "similarity": n.similarity, "target": n.target} for n in self.neighbours]
        held["sum"] = None if self.sum is None else {**asdict(self.sum), "holds": self.sum.holds}
        return held


def in_words(found: Sum) -> str:
    """Whether attributions add up."""
    said = f"attributions add up to {found.attributed:.4f}; the answer changed by {found.change:.4f}"
    return f"{said}: {'alike' if found.holds else 'not alike'} within {found.tolerance:.4f}"
