"""Drawing groups again and again, by scipy, in batches of bounded memory; the same numbers whenever it is repeated."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import scipy  # which imports scipy.stats, of half a second, when it is asked for first

from taskkit.compare.rows import Evaluate, Floats, Integers, counts

RESAMPLES = 9999
LEAST = 1999
"""Resamples of a test so large that more would take long."""
DRAWS = 100_000_000
"""Groups that are drawn in all, as far as LEAST allows: what takes seconds."""
BATCH = 2_000_000
"""Groups that are drawn at once: some 100 MB."""
ACCELERATED = 5_000
"""Groups up to which BCa is had; it leaves out each in turn, and above it corrects what is too small to be seen."""
LEVEL = 0.95
NOTHING = 1e-12
"""A standard error that is no more than rounding."""
SEED = 0


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """What resampling gave for some metrics; each field has one value for each."""

    value: Floats
    low: Floats
    """nan where no interval can be had: no two groups differ, or too many resamples have no metric."""
    high: Floats
    method: tuple[str, ...]
    """`BCa` or `percentile`."""
    error: Floats
    """The standard error."""
    resamples: int


def scatter(gaps: Evaluate, groups: int, level: float = LEVEL, resamples: int | None = None) -> float:
    """How far the sum of the sizes of gaps is from that of the true ones, in a share of `level` of cases at most.

    It is no further than the gaps themselves, added up (triangle inequality), and these scatter in resamples around
    what was measured as what was measured does around the truth: a little less, since each gap was measured on the
    same groups, as many degrees of freedom.
    """
    measured = gaps(np.ones((1, groups)))

    def statistic(drawn: Integers, axis: int = -1) -> Floats:
        found: Floats = np.abs(gaps(counts(np.atleast_2d(drawn), groups)) - measured).sum(0)
        return np.asarray(found[0]) if drawn.ndim == 1 else found

    found = scipy.stats.bootstrap(
        (np.arange(groups),),
        statistic,
        n_resamples=resamples or affordable(groups),
        batch=max(1, BATCH // groups),
        vectorized=True,
        confidence_level=level,
        alternative="less",
        method="percentile",
        rng=np.random.default_rng(SEED),
    )
    freedom = max(groups - int(np.count_nonzero(measured)), 1)
    return float(found.confidence_interval.high) * math.sqrt(groups / freedom)


def bootstrap(evaluate: Evaluate, groups: int, level: float = LEVEL, resamples: int | None = None) -> Bootstrap:
    """Intervals of metrics by resampling at least two groups.

    BCa (Efron, 1987), or percentiles where it is not defined or there are more than 5000 groups.
    """
    resamples = resamples or affordable(groups)

    def statistic(drawn: Integers, axis: int = -1) -> Floats:
        found = evaluate(counts(np.atleast_2d(drawn), groups))
        return found[:, 0] if drawn.ndim == 1 else found

    method = "BCa" if groups <= ACCELERATED else "percentile"
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", scipy.stats.DegenerateDataWarning)
        found = scipy.stats.bootstrap(
            (np.arange(groups),),
            statistic,
            n_resamples=resamples,
            batch=max(1, BATCH // groups),
            vectorized=True,
            confidence_level=level,
            method=method,
            rng=np.random.default_rng(SEED),
        )
        # The jackknife and the resamples are what they were: only the percentiles are asked for again.
        plain = scipy.stats.bootstrap(
            (np.arange(groups),),
            statistic,
            n_resamples=0,
            batch=max(1, BATCH // groups),
            vectorized=True,
            confidence_level=level,
            method="percentile",
            bootstrap_result=found,
        )
    spread = np.asarray(found.standard_error)
    # Of few groups the corrections may put both bounds on one value. A width of nan is not above anything.
    accelerated = (found.confidence_interval.high - found.confidence_interval.low) > NOTHING
    degenerate = ~(spread > NOTHING)
    low, high = (
        np.where(degenerate, np.nan, np.where(accelerated, *sides))
        for sides in (
            (found.confidence_interval.low, plain.confidence_interval.low),
            (found.confidence_interval.high, plain.confidence_interval.high),
        )
    )
    return Bootstrap(
        evaluate(np.ones((1, groups)))[:, 0],
        low,
        high,
        tuple(method if each else "percentile" for each in accelerated),
        spread,
        resamples,
    )


def affordable(groups: int) -> int:
    """How many resamples of so many groups take seconds."""
    return int(np.clip(DRAWS // groups, LEAST, RESAMPLES))
