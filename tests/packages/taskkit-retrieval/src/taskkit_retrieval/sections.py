"""The facts and settings of the plugin, without torch."""

from collections.abc import Mapping
from dataclasses import dataclass

from taskkit import Fact, setting


@dataclass(frozen=True)
class Pixels(Fact):
    """Each input is a grey picture of so many pixels a side, bytes (size, size)."""

    size: int

    def tensors(self) -> Mapping[str, str]:
        """`pixels`: the bytes."""
        return {"pixels": f"uint8 (batch, {self.size}, {self.size})"}


@dataclass
class Retrieve:
    """Settings of the task."""

    temperature: float = setting(0.1, "what similarities are divided by", gt=0)


@dataclass
class Nearest:
    """What `taskkit predict` takes to answer."""

    top: int = setting(5, "how many training examples to give", ge=1)


@dataclass
class Encoder:
    """Settings of the model."""

    hidden: int = setting(64, "hidden units", ge=1)
    width: int = setting(16, "size of a picture's vector", ge=1)
    dropout: float = setting(0.1, "share of hidden units left out in training", ge=0, lt=1)


@dataclass
class Digits:
    """Settings of the data."""

    val: float = setting(0.1, "share of the digits to validate on", ge=0, lt=1)
    test: float = setting(0.2, "share of the digits to test on", ge=0, lt=1)
