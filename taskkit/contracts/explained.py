"""What an explanation needs to know of a task and a processor: which number is explained, and what its parts are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from taskkit.contracts.facts import Word


@dataclass(frozen=True)
class Explained:
    """One answer of a network, and the number that stands for it."""

    answer: str
    """The answer as a person reads it."""
    quantity: str
    """What the number is, as `logit`."""
    score: Callable[[Any], Tensor]
    """The number (batch,) of what the network answers to any batch, differentiable where the network is."""
    words: Sequence[Word] = ()
    """Where parts of the answer lie in an input that has an order in time."""


@dataclass(frozen=True)
class Places:
    """What a person sees at each place of a sample's sequence."""

    names: Sequence[str]
    """Pieces of a text, which make up all of it one after the other, or what things are called."""
    kind: Literal["text", "items"]
    absent: Mapping[str, int] = field(default_factory=dict)
    """By the name of each tensor of numbers: the one that stands where there is nothing."""
