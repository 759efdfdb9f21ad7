"""The facts and settings of the plugin, without torch."""

from collections.abc import Mapping
from dataclasses import dataclass

from taskkit import Fact, Record, SelfSupervised, setting


@dataclass(frozen=True)
class Picture(Fact):
    """Three colours of a square of so many pixels a side, as bytes (size, size, 3)."""

    size: int

    def tensors(self) -> Mapping[str, str]:
        """`picture`: the bytes, colours first."""
        return {"picture": f"uint8 (batch, 3, {self.size}, {self.size})"}


@dataclass(frozen=True)
class Caption(Fact):
    """A text that says what is to be seen."""

    def tensors(self) -> Mapping[str, str]:
        """`caption`: the number of each word."""
        return {"caption": "int (batch, words)"}


@dataclass(frozen=True)
class Captioned(Record):
    """Each input is a `picture` and its `caption`; no two captions are the same."""


@dataclass(frozen=True)
class Match(SelfSupervised):
    """Each target is to know a picture by its caption, and a caption by its picture."""


@dataclass
class Contrast:
    """Settings of the task."""

    temperature: float = setting(0.1, "what similarities are divided by at first; it is learnt", gt=0)


@dataclass
class Choose:
    """What `taskkit predict` takes to caption a picture."""

    captions: str = setting("", "the captions to choose from, with commas between them")


@dataclass
class Towers:
    """Settings of the model."""

    width: int = setting(32, "size of the vectors of pictures and captions", ge=1)
    channels: int = setting(16, "channels of the first convolution; each further one has twice as many", ge=1)
    words: int = setting(12, "words of a caption that are read", ge=1)


@dataclass
class Shapes:
    """Settings of the data."""

    size: int = setting(24, "pixels on each side of a picture", ge=8)
    val: float = setting(0.15, "share of the pictures to validate on", ge=0, lt=1)
    test: float = setting(0.15, "share of the pictures to test on", ge=0, lt=1)
