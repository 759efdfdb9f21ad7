"""Tests of differences against exact and published results, and how often they are wrong."""

import itertools
from dataclasses import astuple

import numpy as np
import pytest
from scipy import stats

from taskkit.compare.differences import Method, compared, holm, permutation_tests, seed_test
from taskkit.compare.rows import Rows
from taskkit.contracts.statistics import Mean, Of, Ratio

RANDOM = np.random.default_rng(3)


def method(*seeds: np.ndarray, groups: np.ndarray | None = None) -> Method:
    tests = []
    for scores in seeds:
        named = [{}] * len(scores) if groups is None else [{"group": str(group)} for group in groups]
        tests.append(Rows.of([{"id": str(i), "score": s, "size": 2.0, **named[i]} for i, s in enumerate(scores)]))
    return Method(tuple(range(len(seeds))), tuple(tests))


def written_out(one: np.ndarray, other: np.ndarray) -> float:
    """The p-value over all changes of sign."""
    apart = one - other
    means = [np.mean(apart * signs) for signs in itertools.product((1, -1), repeat=len(apart))]
    return float(np.mean(np.abs(means) >= abs(apart.mean()) - 1e-12))


def test_the_permutation_test_of_few_examples_is_exact() -> None:
    one, other = RANDOM.normal(size=9) + 0.5, RANDOM.normal(size=9)
    expected = written_out(one, other)
    assert permutation_tests([(method(one), method(other))], Mean("score")) == pytest.approx([expected])
    assert permutation_tests([(method(one), method(other))], Ratio("score", "size")) == pytest.approx([expected])


def test_of_two_accuracies_it_is_mcnemars_exact_test() -> None:
    one = np.array([1.0] * 9 + [0.0] * 2 + [1.0] * 40)
    other = np.array([0.0] * 9 + [1.0] * 2 + [1.0] * 40)
    (p,) = permutation_tests([(method(one), method(other))], Mean("score"))
    assert p == pytest.approx(stats.binomtest(9, 11).pvalue, abs=0.02)


def test_the_answers_to_a_group_are_exchanged_together() -> None:
    one, other = RANDOM.normal(size=8), RANDOM.normal(size=8)
    copies = np.arange(80) % 8
    pair = (method(np.tile(one, 10), groups=copies), method(np.tile(other, 10), groups=copies))
    assert permutation_tests([pair], Mean("score")) == pytest.approx([written_out(one, other)])


def test_two_methods_that_answer_alike_cannot_be_told_apart() -> None:
    scores = RANDOM.normal(size=30)
    _, (found,) = compared([method(scores), method(scores.copy())], Mean("score"))
    assert (found.p, found.real, found.effect, found.smallest_seen) == (1.0, False, None, None)


def test_holm_is_that_of_the_published_example() -> None:
    # Wright (1992), as in R's p.adjust: c(0.01, 0.02, 0.03, 0.04, 0.05) and one that is not in order.
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.03, 0.005, 0.9]) == pytest.approx([0.06, 0.015, 0.9])
    assert holm([]) == []


def test_several_methods_are_one_family_of_all_pairs() -> None:
    _, found = compared([method(RANDOM.normal(size=40)) for _ in range(3)], Mean("score"))
    assert [(each.first, each.second) for each in found] == [(0, 1), (0, 2), (1, 2)]
    assert [each.p_adjusted for each in found] == holm([each.p for each in found])


def test_the_effect_is_cohens_d_of_the_pairs() -> None:
    one, other = RANDOM.normal(size=400) + 0.2, RANDOM.normal(size=400)
    _, (found,) = compared([method(one), method(other)], Mean("score"))
    assert found.effect == pytest.approx((one - other).mean() / (one - other).std(), rel=0.03)


def test_the_smallest_difference_is_the_one_that_is_found_four_times_in_five() -> None:
    _, (found,) = compared([method(RANDOM.normal(size=60)), method(RANDOM.normal(size=60))], Mean("score"))
    assert found.smallest_seen is not None
    deviation = found.spread.error * 60**0.5
    draws = np.random.default_rng(0).normal(found.smallest_seen, deviation, size=(4000, 60))
    assert np.mean(stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.04)


def test_fewer_than_five_seeds_have_no_p_value_and_five_none_below_a_sixteenth() -> None:
    assert seed_test(np.array([1.0, 1.1, 1.2, 1.3])) is None
    assert seed_test(np.array([1.0, 1.1, 1.2, 1.3, 1.4])) == pytest.approx(0.0625)
    assert seed_test(np.array([1.0, 1.1, 1.2, 1.3, 1.4, 1.5])) == pytest.approx(0.03125)


def test_seeds_and_examples_are_told_apart() -> None:
    """The same answers in each seed but for a shift: all that differs from seed to seed is the shift."""
    base = RANDOM.normal(size=200)
    (found,), _ = compared([method(base - 0.1, base, base + 0.1)], Mean("score"))
    assert found.over_seeds == pytest.approx(0.1)
    assert found.over_examples == pytest.approx(base.std() / 200**0.5, rel=0.03)
    assert found.error == pytest.approx((found.over_examples**2 + 0.1**2 / 3) ** 0.5)
    (alone,), _ = compared([method(base)], Mean("score"))
    assert alone.over_seeds is None


def test_a_difference_that_one_seed_alone_shows_is_not_real_of_the_methods() -> None:
    """Each pair of networks differs beyond doubt, in the one or the other direction."""
    base = RANDOM.normal(size=300)
    noise = [RANDOM.normal(size=300) * 0.01 for _ in range(3)]
    one = method(base + 0.5, base - 0.4, base + 0.2)
    other = method(*(base + each for each in noise))
    _, (found,) = compared([one, other], Mean("score"))
    assert found.p < 0.01
    assert not found.real


def test_methods_with_other_seeds_are_compared_without_pairing_them() -> None:
    one, other = method(*RANDOM.normal(size=(3, 50))), method(*RANDOM.normal(size=(2, 50)))
    _, (found,) = compared([one, other], Mean("score"))
    assert found.p_seeds is None
    assert found.spread.over_seeds is not None


def test_under_the_null_a_difference_is_found_in_one_case_of_twenty() -> None:
    """A quick form of `make calibration`, on skewed scores; within four standard errors of the simulation."""
    found = 0
    for seed in range(200):
        one, other = np.random.default_rng(seed).exponential(size=(2, 12))
        found += permutation_tests([(method(one), method(other))], Mean("score"))[0] <= 0.05
    assert found / 200 <= 0.05 + 4 * (0.05 * 0.95 / 200) ** 0.5


def test_however_many_methods_there_are_a_large_difference_is_found() -> None:
    """The smallest p-value of 9999 draws, times 276 pairs, would be 0.055."""
    right = np.random.default_rng(0).random((24, 200)) < np.array([0.95, *[0.5] * 23])[:, None]
    _, found = compared([method(each.astype(float)) for each in right], Mean("score"))
    assert all(each.real == (each.first == 0) for each in found)
    for each in found[:23]:
        one, other = right[each.first], right[each.second]
        # McNemar's test has its p-value without drawing.
        exact = stats.binomtest(int((one & ~other).sum()), int((one != other).sum())).pvalue
        assert exact <= each.p <= 1e-4


def test_of_few_examples_no_p_value_is_smaller_than_the_exact_one() -> None:
    for count in (12, 14, 20):
        (p,) = permutation_tests([(method(np.ones(count)), method(np.zeros(count)))], Mean("score"))
        assert 2 * 0.5**count <= p <= 6.2e-4 or p == pytest.approx(2 * 0.5**count)


def weighted_mean(score: np.ndarray, size: np.ndarray, *, sample_weight: np.ndarray) -> np.ndarray:
    """What `Ratio` computes from sums, as a function of all rows."""
    return (sample_weight @ score) / (sample_weight @ size)


@pytest.mark.parametrize("groups", [None, np.arange(30) // 3], ids=["examples", "groups"])
def test_many_methods_are_compared_as_each_pair_alone_and_sums_as_functions(groups: np.ndarray | None) -> None:
    """All draws are shared and sums are multiplied at once; neither changes a number."""
    methods = [method(*(RANDOM.normal(size=(2, 30)) + shift), groups=groups) for shift in (2.0, 2.1, 2.7)]
    spreads, found = compared(methods, Ratio("score", "size"))
    apart = [compared([each], Ratio("score", "size"))[0][0] for each in methods]
    assert [astuple(each) for each in spreads] == [pytest.approx(astuple(each)) for each in apart]
    for each in found:
        _, (alone,) = compared([methods[each.first], methods[each.second]], Ratio("score", "size"))
        assert (each.p, each.p_seeds) == (alone.p, alone.p_seeds)
        assert astuple(each.spread) == pytest.approx(astuple(alone.spread))
    _, functions = compared(methods, Of(weighted_mean, ("score", "size")))
    assert [each.p for each in functions] == pytest.approx([each.p for each in found], abs=0.005)
