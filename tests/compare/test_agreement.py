"""What is computed here agrees with statsmodels, which computes it otherwise."""

import numpy as np
import pytest
from statsmodels.stats import contingency_tables, multitest, proportion

from taskkit.compare.differences import Method, compared, holm
from taskkit.compare.intervals import binomial
from taskkit.compare.rows import Rows
from taskkit.contracts.statistics import Mean


def test_holms_correction_is_that_of_statsmodels() -> None:
    for seed in range(20):
        p = np.random.default_rng(seed).uniform(0, 0.2, size=1 + seed)
        assert holm(p) == pytest.approx(multitest.multipletests(p, method="holm")[1])


@pytest.mark.parametrize(("ours", "theirs"), [("exact", "beta"), ("wilson", "wilson")])
def test_the_interval_of_a_share_is_that_of_statsmodels(ours: str, theirs: str) -> None:
    for right, trials in ((0, 5), (1, 4), (97, 100), (500, 1000), (7, 7)):
        expected = proportion.proportion_confint(right, trials, 0.05, theirs)
        assert binomial(right, trials, 0.95, ours) == pytest.approx(expected, abs=1e-9)


def test_the_test_of_two_classifiers_is_mcnemars_exact_one() -> None:
    """Exchanging the two answers to an example changes something only where one is right and the other wrong."""
    for one_alone, other_alone in ((3, 9), (1, 11), (6, 6)):
        first = np.array([1.0] * 20 + [0.0] * 10 + [1.0] * one_alone + [0.0] * other_alone)
        second = np.array([1.0] * 20 + [0.0] * 10 + [0.0] * one_alone + [1.0] * other_alone)
        methods = [
            Method((0,), (Rows.of([{"id": str(i), "correct": float(each)} for i, each in enumerate(answers)]),))
            for answers in (first, second)
        ]
        found = compared(methods, Mean("correct"))[1][0].p
        expected = contingency_tables.mcnemar([[20, one_alone], [other_alone, 10]], exact=True).pvalue
        assert found == pytest.approx(expected, abs=0.015)  # 9999 resamples, of more than there is time for
