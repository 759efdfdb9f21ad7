"""From what stopwatches saw to figures: medians with their intervals, and whether the losses are the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

import numpy as np

DRAWS = 10_000


class Figure(NamedTuple):
    """A figure, and the ends of its interval."""

    value: float
    low: float
    high: float


def bootstrap(figure: Callable[..., float], *columns: Sequence[float]) -> Figure:
    """A figure of paired columns with its 95 % percentile interval, drawing rounds with replacement."""
    values, generator = np.array(columns), np.random.default_rng(0)
    rounds = values.shape[1]
    drawn = [figure(*values[:, generator.integers(rounds, size=rounds)]) for _ in range(DRAWS)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Figure(figure(*columns), float(low), float(high))


def middle(column: Sequence[float]) -> float:
    """The median."""
    return float(np.median(column))


def ratio(column: Sequence[float], other: Sequence[float]) -> float:
    """One median over another."""
    return middle(column) / middle(other)


def spread(column: Sequence[float]) -> Figure:
    """The median and the range."""
    return Figure(median(column), min(column), max(column))


def difference(losses: Sequence[float], expected: Sequence[float], *, relative: bool) -> float:
    """The largest difference between two rows of losses; infinite when one of them is shorter."""
    if len(losses) != len(expected):
        return float("inf")
    scales = [abs(e) if relative else 1.0 for e in expected]
    return max(abs(a - e) / s for a, e, s in zip(losses, expected, scales, strict=True))
