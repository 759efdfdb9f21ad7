"""Intervals against published values, a slow bootstrap written out, and what they promise: to cover."""

import itertools

import numpy as np
import pytest

from taskkit.compare.intervals import binomial, in_words, intervals
from taskkit.compare.resampling import bootstrap, scatter
from taskkit.compare.rows import Rows
from taskkit.contracts.statistics import Gaps, Mean, NoInterval, Of, Ratio, Statistic
from taskkit.contracts.weighted import calibration_gaps, macro_f1
from taskkit.runs.manifest import Interval

RANDOM = np.random.default_rng(11)


def rows(groups: list[str] | None = None, **columns: list) -> Rows:
    count = len(next(iter(columns.values())))
    named = [{} if groups is None else {"group": group} for group in groups or range(count)]
    return Rows.of(
        [{"id": str(i), **named[i], **{name: values[i] for name, values in columns.items()}} for i in range(count)]
    )


def one(found: Rows, statistic: Statistic) -> Interval:
    value = float(found.values([statistic])[0])
    return intervals(found, {"metric": statistic}, {"metric": value})["metric"]


def test_the_share_of_right_answers_has_the_published_exact_and_wilson_intervals() -> None:
    # Newcombe (1998), table I: 81 of 263, 15 of 148 and 0 of 20.
    assert binomial(81, 263, 0.95, "exact") == pytest.approx((0.2527, 0.3676), abs=5e-5)
    assert binomial(15, 148, 0.95, "exact") == pytest.approx((0.0578, 0.1617), abs=5e-5)
    assert binomial(0, 20, 0.95, "exact") == pytest.approx((0.0, 0.1684), abs=5e-5)
    assert binomial(81, 263, 0.95, "wilson") == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert binomial(0, 20, 0.95, "wilson") == pytest.approx((0.0, 0.1611), abs=5e-5)


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_an_accuracy_of_all_or_nothing_has_an_interval_with_a_width(right: float) -> None:
    found = one(rows(correct=[right] * 30), Mean("correct"))
    assert found.method == "exact binomial"
    assert found.high - found.low == pytest.approx(0.1157, abs=1e-4)
    grouped = one(rows(groups=[str(i // 10) for i in range(30)], correct=[right] * 30), Mean("correct"))
    assert grouped.high - grouped.low > 0.5, "three groups that are all alike say little"
    assert "group" in grouped.note


def test_counts_that_happen_to_be_small_are_no_share_of_right_answers() -> None:
    off = rows(off=[float(number % 3 == 0) for number in range(60)])
    assert one(off, Mean("off", ideal=0.0)).method == "BCa"
    assert one(off, Mean("off")).method == "exact binomial"


def test_right_answers_of_groups_are_not_counted_as_if_they_were_independent() -> None:
    right = [float(speaker % 4 != 0) for speaker in range(40) for _ in range(10)]
    speakers = [str(speaker) for speaker in range(40) for _ in range(10)]
    alone, grouped = (
        one(rows(correct=right), Mean("correct")),
        one(rows(groups=speakers, correct=right), Mean("correct")),
    )
    assert (alone.method, grouped.method) == ("exact binomial", "BCa")
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_where_no_two_examples_differ_there_is_no_interval_and_it_says_why() -> None:
    found = one(rows(errors=[0] * 9, words=[4] * 9), Ratio("errors", "words"))
    assert (found.value, found.low, found.high, found.method) == (0, None, None, "none")
    assert "no two groups differ" in found.note


def test_rows_that_do_not_give_the_metric_give_no_interval_either() -> None:
    found = rows(score=[0.1, 0.5, 0.2], bad=[1.0, float("nan"), 2.0], word=["a", "b", "c"])
    statistics: dict[str, Statistic] = {name: Mean(name) for name in ("score", "bad", "word", "lacking")}
    made = intervals(found, statistics, dict.fromkeys(statistics, 0.9))
    assert {each.method for each in made.values()} == {"none"}
    assert "the rows give 0.266667" in made["score"].note
    assert "1 of 3 rows have no finite 'bad'" in made["bad"].note
    assert "'word' is no number" in made["word"].note
    assert "no column 'lacking'" in made["lacking"].note
    assert "one group" in one(rows(score=[0.3]), Mean("score")).note


def test_examples_of_one_group_are_drawn_together() -> None:
    """A hundred copies of ten examples say as much as the ten."""
    scores = RANDOM.normal(size=10)
    apart = one(rows(score=[*scores]), Mean("score"))
    copies = [f"{i % 10}" for i in range(1000)]
    together = one(rows(groups=copies, score=[*np.tile(scores, 100)]), Mean("score"))
    assert (together.low, together.high) == pytest.approx((apart.low, apart.high), abs=0.01)
    assert (together.groups, together.rows, apart.groups) == (10, 1000, None)


@pytest.mark.parametrize("statistic", [Mean("errors"), Ratio("errors", "words")])
def test_percentiles_are_those_of_a_bootstrap_written_out(statistic: Mean | Ratio) -> None:
    groups = RANDOM.integers(0, 30, 90)
    errors, words = RANDOM.poisson(2, 90), RANDOM.integers(5, 20, 90)
    found = bootstrap(
        rows(groups=[*groups.astype(str)], errors=[*errors], words=[*words]).evaluate([statistic]),
        len({*groups.tolist()}),
    )
    members = [np.flatnonzero(groups == each) for each in sorted({*groups.tolist()})]
    drawn = []
    for _ in range(4000):
        chosen = np.concatenate([members[i] for i in RANDOM.integers(0, len(members), len(members))])
        below = words[chosen].sum() if isinstance(statistic, Ratio) else len(chosen)
        drawn.append(errors[chosen].sum() / below)
    assert found.error[0] == pytest.approx(np.std(drawn), rel=0.05)
    width = found.high[0] - found.low[0]
    assert found.low[0] == pytest.approx(np.quantile(drawn, 0.025), abs=0.1 * width)
    assert found.high[0] == pytest.approx(np.quantile(drawn, 0.975), abs=0.1 * width)


def test_the_interval_of_a_function_of_all_rows_is_that_of_its_resamples() -> None:
    target = RANDOM.integers(0, 3, 120).astype(str)
    prediction = np.where(RANDOM.random(120) < 0.7, target, "0")
    found = one(rows(target=[*target], prediction=[*prediction]), Of(macro_f1, ("target", "prediction")))
    drawn = []
    for _ in range(1000):
        i = RANDOM.integers(0, 120, 120)
        drawn.append(macro_f1(target[i], prediction[i], sample_weight=np.ones((1, 120)))[0])
    assert found.low == pytest.approx(np.quantile(drawn, 0.025), abs=0.02)
    assert found.high == pytest.approx(np.quantile(drawn, 0.975), abs=0.02)


def test_the_same_rows_give_the_same_interval() -> None:
    scores = [*RANDOM.exponential(size=50)]
    assert one(rows(score=scores), Mean("score")) == one(rows(score=scores), Mean("score"))


def test_many_rows_take_bounded_memory() -> None:
    """A resample of 100 000 rows at once would be 8 GB for all of them."""
    import tracemalloc

    columns = {"score": [*RANDOM.normal(size=20_000)]}
    evaluate = rows(**columns).evaluate([Mean("score")])
    tracemalloc.start()
    bootstrap(evaluate, 20_000, resamples=500)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 250e6


def test_ninety_five_per_cent_of_the_intervals_cover() -> None:
    """A quick form of `make calibration`: within four standard errors of the simulation."""
    hits = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        evaluate = rows(score=[*random.exponential(size=100)]).evaluate([Mean("score")])
        found = bootstrap(evaluate, 100, resamples=999)
        hits += found.low[0] <= 1 <= found.high[0]
    assert 0.88 <= hits / 200 <= 0.99


def test_an_exact_interval_covers_at_least_as_often_as_it_says() -> None:
    for n, p in itertools.product((5, 30), (0.02, 0.3, 0.9)):
        weights = np.array([np.prod(np.arange(n - k + 1, n + 1) / np.arange(1, k + 1)) for k in range(n + 1)])
        chance = weights * p ** np.arange(n + 1) * (1 - p) ** (n - np.arange(n + 1))
        covers = [low <= p <= high for low, high in (binomial(k, n, 0.95, "exact") for k in range(n + 1))]
        assert chance[covers].sum() >= 0.95


def test_the_corrections_of_bca_leave_no_interval_without_a_width() -> None:
    """Of four groups with classes of their own both of its bounds were the metric itself."""
    random, rows = np.random.default_rng(32), []
    for group, number in np.ndindex(4, 6):
        target = f"c{group * 3 + number % 3}"
        answer = target if random.random() < 0.8 else f"c{random.integers(12)}"
        rows.append({"id": f"{group}-{number}", "group": str(group), "target": target, "prediction": answer})
    read = Rows.of(rows, {"target", "prediction"})
    statistic = Of(macro_f1, ("target", "prediction"), ideal=1.0)
    value = float(read.values([statistic])[0])
    found = intervals(read, {"f1": statistic}, {"f1": value})["f1"]
    assert found.method == "percentile"
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low > 0.1


def test_the_interval_of_a_calibration_error_covers_where_the_network_is_calibrated_and_where_not() -> None:
    """A quick form of `make calibration`; that of the bootstrap of a calibrated network would never cover."""
    error = Gaps(calibration_gaps, ("probability", "correct"), ideal=0.0)
    for truth in (0.0, 0.1):
        hits = 0
        for seed in range(100):
            random = np.random.default_rng(seed)
            sure = random.uniform(0.5, 1, size=300)
            found = rows(probability=[*sure], correct=[*(random.random(300) < sure - truth).astype(float)])
            far = scatter(found.gaps(error), found.groups, resamples=299)
            hits += abs(float(found.values([error])[0]) - truth) <= far
        assert hits >= 90, truth
        said = one(found, error)
        assert said.method == "scatter"
        assert (said.low == 0) == (truth == 0)


def test_a_metric_without_an_interval_says_why() -> None:
    found = intervals(rows(score=[1.0, 2.0]), {"used": NoInterval("resamples hold fewer")}, {"used": 0.5})
    assert (found["used"].low, found["used"].method, found["used"].note) == (None, "none", "resamples hold fewer")
    assert in_words(found["used"]) == "no interval: resamples hold fewer"
