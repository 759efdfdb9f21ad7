"""The facts and settings of the plugin, without torch."""

from dataclasses import dataclass

from taskkit import Fact, setting


@dataclass(frozen=True)
class Series(Fact):
    """Each input is a window of past values."""

    length: int


@dataclass(frozen=True)
class Future(Fact):
    """Each target is the values that follow."""

    steps: int


@dataclass
class Forecast:
    """Settings of the task."""

    quantile: float = setting(0.5, "the quantile that is forecast", gt=0, lt=1)


@dataclass
class Answer:
    """What `taskkit predict` takes for a forecast."""

    digits: int | None = setting(None, "decimal places of a forecast; null: all", ge=0)


@dataclass
class Mlp:
    """Settings of the model."""

    width: int = setting(16, "hidden units", ge=1)
    dropout: float = setting(0.1, "share of hidden units left out in training", ge=0, lt=1)


@dataclass
class Waves:
    """Settings of the data."""

    series: int = setting(320, "how many series there are", ge=10)
    length: int = setting(12, "values seen", ge=2)
    steps: int = setting(3, "values to forecast", ge=1)
    noise: float = setting(0.01, "standard deviation added to training inputs", ge=0)
    broken: bool = setting(False, "make one training target not a number")
