"""The facts and settings of the plugin, without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taskkit import Fact, setting

UNLABELLED = 255
"""Marks a pixel whose class is not known, or that only fills a batch up."""


@dataclass(frozen=True)
class Pictures(Fact):
    """Each input is a picture of any size: uint8 (height, width, 3)."""

    def tensors(self) -> Mapping[str, str]:
        """`image`: the picture at the size that the network wants, channels first."""
        return {"image": "uint8 (batch, 3, height, width)"}


@dataclass(frozen=True)
class Masks(Fact):
    """Each target is a class number for each pixel, uint8 (height, width), of the size of its picture."""

    names: tuple[str, ...]

    def tensors(self) -> Mapping[str, str]:
        """`target`, of the pictures' own sizes and filled up with UNLABELLED; `target_size`: height and width."""
        return {"target": "uint8 (batch, height, width)", "target_size": "int (batch, 2)"}

    def readable(self, target: Any) -> Any:
        """The share of the picture that each class has."""
        return {name: round(float((target == number).mean()), 4) for number, name in enumerate(self.names)}


@dataclass
class Unet:
    """Settings of the network."""

    size: int = setting(32, "pixels on a side of what the network sees; divisible by 4", ge=8)
    width: int = setting(8, "channels at full size", ge=4)
    mirror: float = setting(0.5, "share of training pictures seen in a mirror", ge=0, le=1)


@dataclass
class Land:
    """Settings of the data."""

    train: int = setting(128, "training pictures", ge=1)
    val: int = setting(16, "validation pictures", ge=0)
    test: int = setting(17, "test pictures", ge=0)
