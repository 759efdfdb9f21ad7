"""What a look at a log finds."""

import numpy as np
import pytest

from taskkit_recsys import sections
from taskkit_recsys.facts import NextItem, Rating
from taskkit_recsys.inspection import gini
from taskkit_recsys.interactions import Interactions

START = 1_700_000_000


@pytest.fixture
def problems_of(written):
    """The problems of a log by their kinds."""

    def look(lines, header="user,item,timestamp", target=NextItem, **settings):
        path = written("\n".join([header, *lines]) + "\n")
        prepared = Interactions(sections.Interactions(events=str(path), **settings)).prepare(target)
        return {problem.kind: problem for problem in prepared.inspect() if problem.severity != "info"}

    return look


def log(users=20, items=10, start=START, step=1):
    """Each user takes each item once, one user at a time and another after them: nothing is wrong with it."""
    return [f"u{u:02d},i{(u + t) % items},{start + (u + t * users) * step}" for t in range(items) for u in range(users)]


@pytest.mark.parametrize("split", ["leave_one_out", "time"])
def test_of_a_sound_log_nothing_is_said(problems_of, split):
    assert problems_of(log(), split=split) == {}


def test_the_leak_of_leave_one_out_is_told_with_its_share(problems_of):
    lines = log() + [f"late,i{n},{START + 1000 + n}" for n in range(10)]
    leak = problems_of(lines)["leak"]
    assert leak.severity == "warning"
    assert leak.message.startswith("95.2% of the test targets are older than the newest training event")
    assert "data.split=time" in leak.message


@pytest.mark.parametrize(("scale", "unit"), [(10**3, "ms"), (10**6, "us"), (10**9, "ns")])
def test_times_in_another_unit_are_recognised(problems_of, scale, unit):
    problem = problems_of(log(start=START * scale, step=scale), time_unit="s")["time"]
    assert problem.severity == "error"
    assert "100.0% of the events are in the future" in problem.message
    assert f"set data.time_unit={unit}" in problem.message
    for right in (unit, "auto"):
        assert "time" not in problems_of(log(start=START * scale, step=scale), time_unit=right)
    assert "set data.time_unit=s" in problems_of(log(), time_unit=unit)["time"].message


def test_a_few_times_that_cannot_be_are_named_by_row(problems_of):
    problem = problems_of([*log(), "u00,i0,0"])["time"]
    assert problem.severity == "warning"
    assert "before 1990, such as that of row 201, 1970-01-01T00:00:00Z" in problem.message
    assert problem.examples == ("row 201",)


def test_rows_out_of_order_are_told(problems_of):
    assert "0.5% of its rows are older" in problems_of([*log()[1:], log()[0]])["order"].message


def test_doubled_events_and_events_of_one_moment_are_told(problems_of):
    problems = problems_of([*log(), log()[-1], log()[-1]])
    assert problems["duplicate"].message.startswith("2 events are there twice")
    assert problems["duplicate"].examples == ("row 201", "row 202")
    assert problems["ties"].message.startswith("1.0% of the events")


def test_items_taken_again_are_told_with_the_share_of_targets(problems_of):
    lines = [*log(), *(f"u{u:02d},i0,{START + 1000 + u}" for u in range(5))]
    assert "and so are 25.0% of the test targets" in problems_of(lines)["repeat"].message


def test_targets_that_training_never_saw_are_told(problems_of):
    # That an item is in the validation split does not make it known.
    validated = [f"u02,newer,{START + 1002}", f"u02,i0,{START + 1003}"]
    lines = [*log(), f"u00,new,{START + 1000}", f"u01,newer,{START + 1001}", *validated]
    cold = problems_of(lines)["cold"]
    assert cold.message.startswith("10.0% of the test targets are items that no training event has (2 items)")
    assert cold.examples == ("new", "newer")


def test_users_that_training_never_saw_are_told(problems_of):
    lines = [*log(), f"new,i0,{START + 1000}", f"new,i1,{START + 1001}"]
    assert "1 of 21 users of the held-out time" in problems_of(lines, split="time")["cold"].message


def test_popularity_that_is_skewed_is_told(problems_of):
    random = np.random.default_rng(0)
    items = np.minimum(random.pareto(0.8, 3000).astype(int), 199)
    skew = problems_of([f"u{n % 50},i{item},{START + n}" for n, item in enumerate(items)])["skew"]
    top = np.sort(np.bincount(items))[::-1]
    assert f"have {top[: round(np.count_nonzero(top) / 100)].sum() / 3000:.1%} of the events" in skew.message
    assert "skew" not in problems_of(log())


def test_users_more_active_than_people_are_told(problems_of):
    active = problems_of([*log(users=40, items=4), *(f"bot,i{n % 4},{START + 500 + n}" for n in range(300))])["active"]
    assert active.message.startswith("1 users have more than 50 times the events of the median user (4), the most 300")
    assert active.examples == ("bot",)


def test_zeros_that_may_be_no_ratings_are_told(problems_of):
    lines = [f"{line},{n % 6}" for n, line in enumerate(log())]
    problem = problems_of(lines, "user,item,timestamp,rating", Rating)["rating"]
    assert "of the ratings are 0 and all others 1 or more" in problem.message
    assert "rating" not in problems_of(lines, "user,item,timestamp,rating", Rating, rating_scale=[0, 5])


def test_items_without_a_title_are_told(problems_of, written):
    items = written("item,title\n" + "".join(f"i{n},Book {n}\n" for n in range(8)), "items.csv")
    assert problems_of(log(), items=str(items))["title"].message.startswith("2 of 10 items have no title")


def test_no_pseudonymised_user_is_told_by_their_id(problems_of, written):
    key = written("k" * 40, "own.key")
    lines = [*log(users=40, items=4), *(f"bot,i{n % 4},{START + 500 + n}" for n in range(300))]
    (example,) = problems_of(lines, pseudonymise=True, key=str(key))["active"].examples
    assert len(example) == 20


def test_the_gini_coefficient_is_that_of_its_definition():
    counts = np.array([1, 2, 3, 10])
    mean_difference = np.abs(counts[:, None] - counts[None]).mean()
    assert gini(counts) == pytest.approx(mean_difference / (2 * counts.mean()))
    assert gini(np.array([5, 5, 5])) == 0


def test_pairs_are_counted_once_however_often_they_come(written):
    path = written("\n".join(["user,item,timestamp", *log(), *log(start=START + 1000)]) + "\n")
    prepared = Interactions(sections.Interactions(events=str(path))).prepare(NextItem)
    (said,) = [problem.message for problem in prepared.inspect() if problem.kind == "events"]
    assert said.startswith("400 events of 20 users and 10 items, 100.00% of all pairs, from ")
    assert said.endswith("Each user has 20 of them.")
