"""The facts and settings of the work, without torch."""

from dataclasses import dataclass
from typing import Literal

from taskkit import Fact, setting


@dataclass(frozen=True)
class Pixels(Fact):
    """Each input is a square colour image."""

    size: int


@dataclass
class Classify:
    """Settings of the task: what its stopwatch measures."""

    report: str = setting(doc="the JSON file that the stopwatch writes")
    measure: Literal["time", "calls"] = setting("time", "what is measured; calls: of Python functions")
    warmup: int = setting(50, "steps before the measured ones", ge=20)
    steps: int = setting(500, "measured steps", ge=1)


@dataclass
class Mlp:
    """Settings of a multilayer perceptron."""

    width: int = setting(64, "units of a hidden layer", ge=1)
    depth: int = setting(2, "hidden layers", ge=1)


@dataclass
class Noise:
    """Settings of the data."""

    samples: int = setting(512, "how many images there are", ge=1)
    size: int = setting(4, "pixels along a side", ge=1)
    classes: int = setting(10, "how many classes there are", ge=2)
