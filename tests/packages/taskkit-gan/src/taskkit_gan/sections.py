"""The facts and settings of the plugin, without torch."""

from collections.abc import Mapping
from dataclasses import dataclass

from taskkit import Fact, SelfSupervised, setting


@dataclass(frozen=True)
class Points(Fact):
    """Each input is a point: a tuple of floats."""

    dimensions: int

    def tensors(self) -> Mapping[str, str]:
        """`point`: the coordinates."""
        return {"point": f"float (batch, {self.dimensions})"}


@dataclass(frozen=True)
class Likeness(SelfSupervised):
    """There is no target but to be like the inputs."""


@dataclass
class Request:
    """What `taskkit predict` takes."""

    count: int = setting(1, "how many points to generate", ge=1)
    seed: int = setting(0, "decides which", ge=0)


@dataclass
class Mlps:
    """Settings of the two networks."""

    width: int = setting(64, "hidden units", ge=1)
    noise: int = setting(2, "random numbers that a point is made of", ge=1)


@dataclass
class Ring:
    """Settings of the data."""

    train: int = setting(2048, "training points", ge=1)
    val: int = setting(512, "validation points", ge=0)
    test: int = setting(511, "test points", ge=0)
    centres: int = setting(8, "normal distributions", ge=1)
    deviation: float = setting(0.05, "standard deviation of each; their centres are 1 from the origin", gt=0)
