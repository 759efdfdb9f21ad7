"""Whether two methods differ on the same examples, and by how much; many pairs as one family."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import scipy  # which imports scipy.stats, of half a second, when it is asked for first

from taskkit.compare.resampling import BATCH, LEVEL, NOTHING, SEED, affordable, bootstrap
from taskkit.compare.rows import Evaluate, Floats, Integers, Rows
from taskkit.contracts.statistics import Statistic

POWER = 0.8
"""With which chance the smallest difference that a test could have seen is seen."""
LEAST_SEEDS = 5
"""Fewer paired seeds give no p-value: of five, the smallest that there is is 2 / 2⁵ = 0.0625."""


@dataclass(frozen=True, eq=False)
class Method:
    """The tests of one recipe, one a seed, all on the same examples."""

    seeds: tuple[int, ...]
    tests: tuple[Rows, ...]

    @property
    def groups(self) -> int:
        """How many groups of examples there are."""
        return self.tests[0].groups

    def of_each_seed(self, statistic: Statistic) -> Floats:
        """The metric of each seed, float (seeds,)."""
        return np.array([rows.values([statistic])[0] for rows in self.tests])

    def evaluate(self, statistic: Statistic) -> Evaluate:
        """The mean over the seeds, for many resamples: float (1, resamples)."""
        each = [rows.evaluate([statistic]) for rows in self.tests]
        return lambda drawn: np.mean([one(drawn) for one in each], axis=0)


@dataclass(frozen=True)
class Spread:
    """The mean of a metric over seeds, or of a difference, and how far other examples and other seeds would move it."""

    value: float
    low: float | None
    """None, as `high`: no interval can be had."""
    high: float | None
    over_examples: float
    """The standard error from example to example, the networks as they are."""
    over_seeds: float | None
    """The standard deviation from seed to seed, the examples as they are; None: there is one seed."""
    error: float
    """The standard error, of examples and seeds together."""
    freedom: float
    """Degrees of freedom of that error (Satterthwaite, 1946); infinite with one seed."""


@dataclass(frozen=True)
class Difference:
    """One method minus another on the same examples."""

    first: int
    second: int
    spread: Spread
    p: float
    """Of a permutation test over the examples, for these networks."""
    p_adjusted: float
    """The same by Holm (1979) over the family."""
    p_seeds: float | None
    """Of a permutation test over paired seeds; None: fewer than five of them."""
    effect: float | None
    """The difference in standard deviations of that of one group: Cohen's d of paired values; None: no two differ."""
    smallest_seen: float | None
    """The difference that such a test finds in four of five cases, before Holm's correction; None: no two differ."""

    @property
    def real(self) -> bool:
        """Whether the two can be told apart: by the corrected test, and by the interval too."""
        if self.spread.low is None or self.spread.high is None:
            return False
        return self.p_adjusted <= 1 - LEVEL and not self.spread.low <= 0 <= self.spread.high


def spread(method: Method, statistic: Statistic) -> Spread:
    """The interval of a method: by the bootstrap with one seed, with several by both variances and Student's t."""
    return _spread(method.evaluate(statistic), method.groups, [method.of_each_seed(statistic)])


def differences(methods: Sequence[Method], statistic: Statistic) -> list[Difference]:
    """All pairs of methods, as one family; each has at least two groups of examples, the same ones."""
    pairs = list(combinations(range(len(methods)), 2))
    if not pairs:
        return []
    p = permutation_tests([(methods[i], methods[j]) for i, j in pairs], statistic)
    return [
        _difference(methods, statistic, pair, *chances)
        for pair, chances in zip(pairs, zip(p, holm(p), strict=True), strict=True)
    ]


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted for being one of a family (Holm, 1979), in their order."""
    adjusted, largest = [0.0] * len(p), 0.0
    for place, i in enumerate(np.argsort(p, kind="stable")):
        largest = max(largest, min(1.0, (len(p) - place) * p[i]))
        adjusted[i] = largest
    return adjusted


def permutation_tests(pairs: Sequence[tuple[Method, Method]], statistic: Statistic) -> list[float]:
    """The p-value of each pair, when the two answers to each group are exchanged or not; exact where groups are few.

    With several seeds, all answers of a method to a group are exchanged together.
    """
    groups = pairs[0][0].groups
    evaluates = [Rows.beside(one.tests, other.tests).evaluate([statistic]) for one, other in pairs]
    shares = [np.repeat([1 / len(one.tests), 1 / len(other.tests)], groups) for one, other in pairs]
    scales = [
        float(np.abs(evaluate(share[None]))[0, 0]) or 1.0 for evaluate, share in zip(evaluates, shares, strict=True)
    ]

    def statistics(first: Integers, second: Integers, axis: int = -1) -> Floats:
        away = np.atleast_2d(first) >= groups
        one, other = (np.concatenate(sides, 1).astype(float) for sides in ((~away, away), (away, ~away)))
        found = [
            (evaluate(one * share) - evaluate(other * share))[0] / scale
            for evaluate, share, scale in zip(evaluates, shares, scales, strict=True)
        ]
        return np.stack(found, -1) if first.ndim > 1 else np.concatenate(found)

    found = scipy.stats.permutation_test(
        (np.arange(groups), np.arange(groups, 2 * groups)),
        statistics,
        permutation_type="samples",
        vectorized=True,
        n_resamples=affordable(groups),
        batch=max(1, BATCH // groups),
        rng=np.random.default_rng(SEED),
    )
    return [float(p) for p in np.atleast_1d(found.pvalue)]


def seed_test(differences: Floats) -> float | None:
    """The p-value of the mean of paired differences, one a seed, under all changes of sign; None below five seeds."""
    if len(differences) < LEAST_SEEDS:
        return None
    found = scipy.stats.permutation_test(
        (differences,),
        lambda drawn, axis: drawn.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        rng=np.random.default_rng(SEED),
    )
    return float(found.pvalue)


def _difference(
    methods: Sequence[Method], statistic: Statistic, pair: tuple[int, int], p: float, adjusted: float
) -> Difference:
    one, other = (methods[i] for i in pair)
    first, second = one.evaluate(statistic), other.evaluate(statistic)
    by_seed = [dict(zip(m.seeds, m.of_each_seed(statistic).tolist(), strict=True)) for m in (one, other)]
    paired = by_seed[0].keys() == by_seed[1].keys()
    apart = np.array([value - by_seed[1][seed] for seed, value in by_seed[0].items()]) if paired else None
    sides = [apart] if apart is not None else [np.array([*each.values()]) for each in by_seed]
    found = _spread(lambda drawn: first(drawn) - second(drawn), one.groups, sides)
    return Difference(
        *pair,
        spread=found,
        p=p,
        p_adjusted=adjusted,
        p_seeds=None if apart is None else seed_test(apart),
        effect=found.value / (found.over_examples * one.groups**0.5) if found.over_examples else None,
        smallest_seen=_quantiles(found, (1 + LEVEL) / 2, POWER) * found.error if found.error else None,
    )


def _spread(evaluate: Evaluate, groups: int, seeds: Sequence[Floats]) -> Spread:
    """`seeds` are the values of each seed, or those of both sides where these have no seeds in common."""
    found = bootstrap(evaluate, groups)
    value, low, high, examples = (float(side[0]) for side in (found.value, found.low, found.high, found.error))
    examples = examples if examples > NOTHING else 0.0
    several = [each for each in seeds if len(each) > 1]
    if not several:
        there = bool(np.isfinite([low, high]).all())
        return Spread(value, low if there else None, high if there else None, examples, None, examples, math.inf)
    parts = [(examples**2, groups - 1), *((each.var(ddof=1) / len(each), len(each) - 1) for each in several)]
    variance = float(sum(part for part, _ in parts))
    freedom = variance**2 / sum(part**2 / free for part, free in parts) if variance else math.inf
    over_seeds = float(sum(each.var(ddof=1) for each in several)) ** 0.5
    whole = Spread(value, None, None, examples, over_seeds, variance**0.5, float(freedom))
    half = _quantiles(whole, (1 + LEVEL) / 2) * whole.error
    return replace(whole, low=value - half, high=value + half) if half else whole


def _quantiles(spread: Spread, *shares: float) -> float:
    """The sum of quantiles of Student's t, or of the normal distribution where the error is known."""
    law = scipy.stats.norm if math.isinf(spread.freedom) else scipy.stats.t(spread.freedom)
    return float(sum(law.ppf(share) for share in shares))
