"""Whether two methods differ on the same examples, and by how much; many pairs as one family."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import scipy  # which imports scipy.stats, of half a second, when it is asked for first

from taskkit.compare.resampling import BATCH, LEVEL, NOTHING, SEED, Bootstrap, affordable, bootstrap
from taskkit.compare.rows import (
    DIGITS,
    Booleans,
    Evaluate,
    Floats,
    Integers,
    Rows,
    divided,
    stacked,
    together,
)
from taskkit.contracts.statistics import Mean, Of, Ratio, Statistic

POWER = 0.8
"""With which chance the smallest difference that a test could have seen is seen."""
TAIL = 3.178
"""How many times the tail of a normal distribution that of a weighted sum of random signs can be, at most."""
LEAST_SEEDS = 5
"""Fewer paired seeds give no p-value: of five, the smallest that there is is 2 / 2⁵ = 0.0625."""
Exchange = Callable[[Booleans], Floats]
"""The difference of each pair, float (resamples, pairs), of which groups are exchanged, bool (resamples, groups)."""


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


def compared(methods: Sequence[Method], statistic: Statistic) -> tuple[list[Spread], list[Difference]]:
    """Each method, and all pairs of them as one family; each has at least two groups of examples, the same ones.

    Groups are drawn once for all: by the bootstrap with one seed, with several by both variances and Student's t.
    """
    pairs = list(combinations(range(len(methods)), 2))
    by_seed = [dict(zip(m.seeds, m.of_each_seed(statistic).tolist(), strict=True)) for m in methods]
    drawn = bootstrap(_with_pairs(_means(methods, statistic), pairs), methods[0].groups)
    sides = [[np.array([*each.values()])] for each in by_seed] + [_apart(by_seed[i], by_seed[j]) for i, j in pairs]
    spreads = [_spread(drawn, place, methods[0].groups, side) for place, side in enumerate(sides)]
    p = permutation_tests([(methods[i], methods[j]) for i, j in pairs], statistic)
    found = [
        _difference(pair, each, methods[0].groups, chances, by_seed)
        for pair, each, chances in zip(pairs, spreads[len(methods) :], zip(p, holm(p), strict=True), strict=True)
    ]
    return spreads[: len(methods)], found


def _means(methods: Sequence[Method], statistic: Statistic) -> Evaluate:
    """The mean of each method over its seeds, for many resamples: float (methods, resamples)."""
    each = together([rows for method in methods for rows in method.tests], statistic)
    first = np.cumsum([0, *(len(method.tests) for method in methods)])[:-1]
    seeds = np.array([len(method.tests) for method in methods])[:, None]
    return lambda drawn: np.add.reduceat(each(drawn), first, axis=0) / seeds


def _with_pairs(evaluate: Evaluate, pairs: Sequence[tuple[int, int]]) -> Evaluate:
    """The same, and the differences of pairs below: float (methods + pairs, resamples)."""
    one, other = np.array(pairs, dtype=int).reshape(-1, 2).T

    def extended(drawn: Floats) -> Floats:
        found = evaluate(drawn)
        return np.concatenate([found, found[one] - found[other]])

    return extended


def _apart(one: Mapping[int, float], other: Mapping[int, float]) -> list[Floats]:
    """The differences seed by seed, or the values of both sides where these have not the same seeds."""
    if one.keys() == other.keys():
        return [np.array([value - other[seed] for seed, value in one.items()])]
    return [np.array([*each.values()]) for each in (one, other)]


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted for being one of a family (Holm, 1979), in their order."""
    adjusted, largest = [0.0] * len(p), 0.0
    for place, i in enumerate(np.argsort(p, kind="stable")):
        largest = max(largest, min(1.0, (len(p) - place) * p[i]))
        adjusted[i] = largest
    return adjusted


def permutation_tests(pairs: Sequence[tuple[Method, Method]], statistic: Statistic) -> list[float]:
    """The p-value of each pair, when the two answers to each group are exchanged or not; exact where groups are few.

    With several seeds, all answers of a method to a group are exchanged together. Where no exchange that was drawn
    comes as far as the answers themselves, the p-value is a bound of the tail: many pairs may be one family, and the
    smallest p-value that so many draws can have would then be none that Holm's correction leaves below 0.05.
    """
    if not pairs:
        return []
    groups = pairs[0][0].groups
    resamples = affordable(groups)
    exchange = _exchanged_rows(pairs, statistic) if isinstance(statistic, Of) else _exchanged_sums(pairs, statistic)
    if groups <= np.log2(resamples):
        return _exact(exchange, groups, resamples)
    value = exchange(np.zeros((1, groups), dtype=bool))[0]
    null = np.concatenate([exchange(away) for away in _exchanges(groups, resamples)])
    p = np.array([_among(each, draws) for each, draws in zip(value, null.T, strict=True)])
    beyond = p < 2.5 / (resamples + 1)  # both tails have one draw at least: that of the answers themselves
    p[beyond] = np.minimum(p[beyond], _tail(value[beyond], null[:, beyond]))
    return [float(each) for each in p]


def _exact(exchange: Exchange, groups: int, resamples: int) -> list[float]:
    """The p-values by all exchanges that there are."""

    def statistics(first: Integers, second: Integers, axis: int = -1) -> Floats:
        found = exchange(np.atleast_2d(first) >= groups)
        return found if first.ndim > 1 else found[0]

    found = scipy.stats.permutation_test(
        (np.arange(groups), np.arange(groups, 2 * groups)),
        statistics,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, BATCH // groups),
    )
    return [float(each) for each in np.atleast_1d(found.pvalue)]


def _exchanges(groups: int, resamples: int) -> Iterator[Booleans]:
    """Which groups are exchanged, as chance has it, in batches: bool (some, groups).

    `permutation_test` would shuffle each two answers by themselves, which takes most of the time of many examples.
    """
    random, most = np.random.default_rng(SEED), max(1, BATCH // groups)
    for first in range(0, resamples, most):
        yield random.integers(0, 2, (min(most, resamples - first), groups), dtype=bool)


def _among(value: float, null: Floats) -> float:
    """The p-value, of both tails, of a value among draws (resamples,)."""
    found = scipy.stats.monte_carlo_test(
        [value],
        lambda size: null.reshape(size),
        lambda drawn, axis: drawn[..., 0],
        vectorized=True,
        n_resamples=len(null),
    )
    return float(found.pvalue)


def _tail(found: Floats, null: Floats) -> Floats:
    """A bound of the chance to come so far from 0 (pairs,), of what exchanges give, float (resamples, pairs).

    Of a mean, exchanges give a weighted sum of random signs, whose tail is no more than 3.178 times that of a normal
    distribution (Bentkus and Dzindzalieta, 2015).
    """
    deviations = np.abs(found) / np.sqrt(np.mean(null**2, axis=0))
    return np.asarray(np.maximum(2 * TAIL * scipy.stats.norm.sf(deviations), np.finfo(float).tiny))


def _exchanged_sums(pairs: Sequence[tuple[Method, Method]], statistic: Mean | Ratio) -> Exchange:
    """Of sums, what an exchange moves is one product of matrices for all methods."""
    methods = list(dict.fromkeys(method for pair in pairs for method in pair))
    places = {method: place for place, method in enumerate(methods)}
    one, other = np.array([[places[method] for method in pair] for pair in pairs]).T
    # Seeds of a method count as one test, whose sums are their means.
    sums = [np.mean([rows.sums(statistic) for rows in method.tests], axis=0) for method in methods]
    above, below = stacked([(each[0], each[1]) for each in sums])
    all_above, all_below = above.sum(0), below.weighed(np.ones((1, len(above))))[0]
    whole = divided(all_above, all_below)
    scale = np.where(whole[one] != 0, np.abs(whole[one]), 1.0)

    def exchange(away: Booleans) -> Floats:
        moved = away.astype(float)
        parts = ((all_above, moved @ above), (all_below, below.weighed(moved)))
        first, second = (
            np.round(divided(*(part[mine] - gone[:, mine] + gone[:, theirs] for part, gone in parts)) / scale, DIGITS)
            for mine, theirs in ((one, other), (other, one))
        )
        return np.asarray(first - second)

    return exchange


def _exchanged_rows(pairs: Sequence[tuple[Method, Method]], statistic: Of) -> Exchange:
    """A function of all rows is asked about the rows of both, with weights."""
    groups = pairs[0][0].groups
    evaluates = [Rows.beside(one.tests, other.tests).evaluate([statistic]) for one, other in pairs]
    shares = [np.repeat([1 / len(one.tests), 1 / len(other.tests)], groups) for one, other in pairs]
    scales = [
        float(np.abs(evaluate(share[None]))[0, 0]) or 1.0 for evaluate, share in zip(evaluates, shares, strict=True)
    ]

    def exchange(away: Booleans) -> Floats:
        one, other = (np.concatenate(sides, 1).astype(float) for sides in ((~away, away), (away, ~away)))
        found = [
            (evaluate(one * share) - evaluate(other * share))[0] / scale
            for evaluate, share, scale in zip(evaluates, shares, scales, strict=True)
        ]
        return np.stack(found, -1)

    return exchange


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
    pair: tuple[int, int],
    found: Spread,
    groups: int,
    chances: tuple[float, float],
    by_seed: Sequence[Mapping[int, float]],
) -> Difference:
    one, other = (by_seed[place] for place in pair)
    paired = one.keys() == other.keys()
    return Difference(
        *pair,
        spread=found,
        p=chances[0],
        p_adjusted=chances[1],
        p_seeds=seed_test(_apart(one, other)[0]) if paired else None,
        effect=found.value / (found.over_examples * groups**0.5) if found.over_examples else None,
        smallest_seen=_quantiles(found, (1 + LEVEL) / 2, POWER) * found.error if found.error else None,
    )


def _spread(drawn: Bootstrap, place: int, groups: int, seeds: Sequence[Floats]) -> Spread:
    """`seeds` are the values of each seed, or those of both sides where these have no seeds in common."""
    value, low, high, examples = (float(side[place]) for side in (drawn.value, drawn.low, drawn.high, drawn.error))
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
