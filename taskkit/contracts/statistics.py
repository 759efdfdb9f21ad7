"""How a metric follows from per-example scores, so that intervals and tests can be had of it; without torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Mean:
    """A metric that is the mean of one score of each example, as accuracy is of `correct`."""

    column: str
    ideal: float | None = None
    """What the metric of a predictor without faults is; None: nobody can say, and there is no skill."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it needs."""
        return (self.column,)


@dataclass(frozen=True)
class Ratio:
    """A metric that is the sum of one score over the sum of another, as a word error rate is of errors and words."""

    numerator: str
    denominator: str
    ideal: float | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it needs."""
        return (self.numerator, self.denominator)


@dataclass(frozen=True)
class Of:
    """A metric that is a function of all examples, as macro F1 is.

    `function` takes the columns, each of shape (rows,), and `sample_weight`, float (resamples, rows): how often each
    row counts. It answers float (resamples,). It stands in a module without torch, since comparing runs imports it, and
    the task's component names it in `statistics`, unless it is one of `taskkit`'s own.
    """

    function: Callable[..., Any]
    columns: tuple[str, ...]
    """Scores of `Task.scores`, or `target`, `prediction` and what else predictions.parquet holds."""
    ideal: float | None = None

    @property
    def reference(self) -> str:
        """The public import path of the function."""
        home = self.function.__module__
        return f"{'taskkit' if home.startswith('taskkit.') else home}:{self.function.__qualname__}"


@dataclass(frozen=True)
class Gaps(Of):
    """A metric that is the sum of the sizes of gaps, as a calibration error is of those in its bins.

    `function` answers the gaps, float (resamples, gaps), each of which is a mean or a ratio: in resamples they scatter
    around what was measured, but their sizes add up to more. So the interval is made of how far the gaps scatter.
    """


@dataclass(frozen=True)
class NoInterval:
    """A metric that does not follow from per-example scores, or of which resamples say nothing: it has no test."""

    reason: str
    """Why, in words that `run.json`, `taskkit eval` and `taskkit compare` show."""

    @property
    def columns(self) -> tuple[str, ...]:
        """None."""
        return ()


Statistic = Mean | Ratio | Of
"""How a metric follows from per-example scores: in one of these forms."""
