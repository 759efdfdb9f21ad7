"""Simulations with a known truth: how often intervals cover it, and how often tests find what is not there.

Each gives a share of cases and what it should be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from taskkit.compare.differences import Method, compared, permutation_tests
from taskkit.compare.intervals import binomial
from taskkit.compare.resampling import bootstrap, scatter
from taskkit.compare.rows import Rows
from taskkit.contracts.statistics import Gaps, Mean, Of, Ratio, Statistic
from taskkit.contracts.weighted import calibration_gaps, macro_f1, root_mean

RESAMPLES = 999
Draw = Callable[[np.random.Generator], Rows]


@dataclass(frozen=True)
class Share:
    """One line of the result."""

    what: str
    setting: str
    found: float
    error: float
    """The standard error of the simulation; 0: computed, not simulated."""


def table(**columns: Any) -> Rows:
    """Rows of columns of one length."""
    count = len(next(iter(columns.values())))
    return Rows.of([{"id": str(i), **{name: values[i] for name, values in columns.items()}} for i in range(count)])


def coverage(times: int) -> Iterator[Share]:
    """Of intervals of one run."""
    for n in (10, 20, 50, 200):
        yield _covers(f"mean of a skewed score (exponential), {n} examples", _exponential(n), Mean("score"), 1.0, times)
    for n in (50, 200):
        truth = float(np.exp(0.5))
        yield _covers(
            f"mean of a very skewed score (lognormal), {n} examples", _lognormal(n), Mean("score"), truth, times
        )
    for n in (20, 100):
        wer = Ratio("errors", "words")
        yield _covers(f"word error rate, {n} utterances", _utterances(n, 1), wer, 0.2, times)
    for speakers in (5, 10, 30, 100):
        wer = Ratio("errors", "words")
        yield _covers(
            f"word error rate, {speakers} speakers of 10 utterances", _utterances(speakers, 10), wer, 0.2, times
        )
    alone = Ratio("errors", "words")
    yield _covers("the same, 30 speakers, taken for 300 examples", _ungrouped(_utterances(30, 10)), alone, 0.2, times)
    for n in (100, 500):
        f1 = Of(macro_f1, ("target", "prediction"))
        yield _covers(f"macro F1 of 10 classes, {n} examples", _classified(n), f1, _truth(_classified, f1), times)
    yield _covers("root of the mean squared error, 50 examples", _squared(50), Of(root_mean, ("score",)), 1.0, times)
    error = Gaps(calibration_gaps, ("probability", "correct"))
    for n, truth in ((100, 0.1), (500, 0.1), (100, 0.0), (500, 0.0)):
        yield _covers(
            f"calibration error, {n} examples, true value {truth:g}", _confident(n, truth), error, truth, times
        )
    for method in ("exact", "wilson"):
        for n in (20, 100):
            for p in (0.5, 0.9, 0.99):
                yield Share("coverage", f"accuracy {p}, {n} examples, {method}", _binomial_coverage(n, p, method), 0.0)


def seeds(times: int) -> Iterator[Share]:
    """Of intervals of a method over several seeds, another training moving it as much as other examples would."""
    for count in (2, 3, 5):
        hits = 0
        for random in _randoms(times):
            (found,), _ = compared([_trained(random, count, 100)], Mean("score"))
            hits += found.low is not None and found.high is not None and found.low <= 0 <= found.high
        yield _share("coverage", f"mean over {count} seeds, 100 examples", hits, times)


def nulls(times: int) -> Iterator[Share]:
    """How often tests find a difference between methods that have none."""
    for n in (10, 50):
        drawn = ((_exponential(n)(random), _exponential(n)(random)) for random in _randoms(times))
        yield _found(f"permutation test, skewed score, {n} examples", drawn, Mean("score"), times)
    drawn = ((_answers(random, 100, 0.8), _answers(random, 100, 0.8)) for random in _randoms(times))
    yield _found("permutation test, accuracy, 100 examples", drawn, Mean("score"), times)
    pairs = ((_utterances(20, 5)(random), _utterances(20, 5)(random)) for random in _randoms(times))
    yield _found("permutation test, word error rate, 20 speakers", pairs, Ratio("errors", "words"), times)
    few = max(times // 4, 1)
    hits = sum(
        any(each.real for each in compared([_trained(random, 1, 40, 0) for _ in range(4)], Mean("score"))[1])
        for random in _randoms(few)
    )
    yield _share("a difference in a family of 6", "4 methods, 40 examples, Holm", hits, few)
    for count in (2, 3, 5):
        hits = sum(
            compared([_trained(random, count, 40) for _ in range(2)], Mean("score"))[1][0].real
            for random in _randoms(few)
        )
        yield _share("a difference found", f"2 methods, {count} seeds each, 40 examples", hits, few)


def power(times: int) -> Iterator[Share]:
    """How often the smallest difference that a test is said to see is seen."""
    few = max(times // 4, 1)
    hits = 0
    for random in _randoms(few):
        one, other = (Method((0,), (table(score=random.normal(size=100)),)) for _ in range(2))
        _, (found,) = compared([one, other], Mean("score"))
        moved = random.normal(found.smallest_seen, 2**0.5, size=100)
        pair = (Method((0,), (table(score=moved),)), Method((0,), (table(score=np.zeros(100)),)))
        hits += permutation_tests([pair], Mean("score"))[0] <= 0.05
    yield _share("the smallest difference found", "2 runs, 100 examples", hits, few)


def _randoms(times: int) -> Iterator[np.random.Generator]:
    return (np.random.default_rng(seed) for seed in range(times))


def _share(what: str, setting: str, hits: float, times: int) -> Share:
    found = hits / times
    return Share(what, setting, found, (max(found * (1 - found), 1 / times) / times) ** 0.5)


def _covers(setting: str, draw: Draw, statistic: Statistic, truth: float, times: int) -> Share:
    hits = 0
    for random in _randoms(times):
        rows = draw(random)
        if isinstance(statistic, Gaps):
            far = scatter(rows.gaps(statistic), rows.groups, resamples=RESAMPLES)
            hits += abs(float(rows.values([statistic])[0]) - truth) <= far
            continue
        found = bootstrap(rows.evaluate([statistic]), rows.groups, resamples=RESAMPLES)
        hits += bool(found.low[0] <= truth <= found.high[0])
    return _share("coverage", setting, hits, times)


def _found(setting: str, pairs: Iterator[tuple[Rows, Rows]], statistic: Statistic, times: int) -> Share:
    tests = ([(Method((0,), (one,)), Method((0,), (other,)))] for one, other in pairs)
    return _share(
        "a difference found", setting, sum(permutation_tests(each, statistic)[0] <= 0.05 for each in tests), times
    )


def _truth(draw: Callable[[int], Draw], statistic: Statistic) -> float:
    return float(np.mean([draw(100_000)(random).values([statistic])[0] for random in _randoms(2)]))


def _binomial_coverage(n: int, p: float, method: Any) -> float:
    """The sum of the chances of all counts whose intervals cover."""
    from scipy import stats

    bounds = [binomial(k, n, 0.95, method) for k in range(n + 1)]
    return float(sum(stats.binom.pmf(k, n, p) for k, (low, high) in enumerate(bounds) if low <= p <= high))


def _exponential(n: int) -> Draw:
    return lambda random: table(score=random.exponential(size=n))


def _lognormal(n: int) -> Draw:
    return lambda random: table(score=random.lognormal(size=n))


def _squared(n: int) -> Draw:
    return lambda random: table(score=random.normal(size=n) ** 2)


def _utterances(speakers: int, each: int) -> Draw:
    """Utterances of speakers of whom some are harder: 0.2 errors a word in the mean."""

    def draw(random: np.random.Generator) -> Rows:
        rate = np.repeat(random.gamma(2, 0.1, size=speakers), each)
        words = random.integers(3, 25, size=speakers * each)
        group = np.repeat(np.arange(speakers), each).astype(str)
        return table(errors=random.poisson(rate * words), words=words, group=group)

    return draw


def _ungrouped(draw: Draw) -> Draw:
    def alone(random: np.random.Generator) -> Rows:
        columns = draw(random).columns
        return table(errors=columns["errors"], words=columns["words"])

    return alone


def _classified(n: int) -> Draw:
    """Ten classes, some of them rare, most examples right."""
    shares = np.linspace(1, 4, 10) / np.linspace(1, 4, 10).sum()

    def draw(random: np.random.Generator) -> Rows:
        target = random.choice(10, size=n, p=shares)
        prediction = np.where(random.random(n) < 0.8, target, random.integers(0, 10, n))
        return table(target=target, prediction=prediction)

    return draw


def _confident(n: int, too_much: float) -> Draw:
    def draw(random: np.random.Generator) -> Rows:
        probability = random.uniform(0.5, 1, size=n)
        return table(probability=probability, correct=(random.random(n) < probability - too_much).astype(float))

    return draw


def _answers(random: np.random.Generator, n: int, p: float) -> Rows:
    return table(score=(random.random(n) < p).astype(float))


def _trained(random: np.random.Generator, count: int, examples: int, moves: float = 1.0) -> Method:
    """Tests of a method whose true mean is 0: `moves` compares what another seed and other examples do to it."""
    hard = random.normal(size=examples)
    scores = [hard + random.normal() * moves / examples**0.5 + random.normal(size=examples) / 2 for _ in range(count)]
    return Method(tuple(range(count)), tuple(table(score=each) for each in scores))
