"""The facts and settings, without torch."""

from collections.abc import Mapping
from dataclasses import dataclass

from taskkit import Fact, Record, setting


@dataclass(frozen=True)
class Pictures(Fact):
    """Each input is a square of grey values from 0 to 16, a row after the other."""

    size: int

    def tensors(self) -> Mapping[str, str]:
        """`image`: grey values from 0 to 1."""
        return {"image": f"float32 (batch, {self.size}, {self.size})"}


@dataclass(frozen=True)
class DigitAndParity(Record):
    """Which `digit` a picture shows, and its `parity`: two Classes."""


@dataclass
class DigitsTask:
    """Settings of the task."""

    parity_weight: float = setting(0.5, "what the loss of the parity counts beside that of the digit", ge=0)


@dataclass
class Mlp:
    """Settings of the model."""

    width: int = setting(64, "hidden units", ge=1)
    dropout: float = setting(0.1, "share of hidden units left out in training", ge=0, lt=1)


@dataclass
class Digits:
    """Settings of the data."""

    val: int = setting(10, "validation pictures of each digit", ge=0)
    test: int = setting(30, "test pictures of each digit", ge=1)
