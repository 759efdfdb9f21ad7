"""Your own log, split and stated."""

import subprocess
import sys

import numpy as np
import pytest

from taskkit import DataError, read_table
from taskkit_recsys import sections
from taskkit_recsys.events import Columns, read_events
from taskkit_recsys.facts import NextItem, Rating
from taskkit_recsys.interactions import Interactions
from taskkit_recsys.splits import part

SPLITS = ("train", "val", "test")


def prepared(path, target=NextItem, **settings):
    return Interactions(sections.Interactions(events=str(path), **settings)).prepare(target)


def parted(path, **settings):
    """Events in order, and what each is for."""
    events = read_events(read_table(path), Columns("user", "item", "timestamp", None), "s")
    return part(events.in_order(), sections.Interactions(events=str(path), **settings))


def log(*rows, header="user,item,timestamp"):
    return "\n".join([header, *rows]) + "\n"


def by_id(data, split):
    """The examples of a split by the ids of users and items."""
    items = data.spec.input.items
    return {
        example.id: (
            "".join(items[item] for item in example.input.items),
            None if example.target is None else "".join(items[item] for item in example.target),
        )
        for example in data.examples(split)
    }


@pytest.fixture
def three(written):
    """Three users of one log, in no order: 1 has five events, 2 has three, 3 has two."""
    return written(
        log("1,e,50", "2,a,11", "1,a,10", "1,b,20", "3,a,12", "2,c,31", "1,c,30", "3,e,42", "1,d,40", "2,b,21")
    )


@pytest.fixture
def many(written):
    random = np.random.default_rng(0)
    draws = zip(random.integers(0, 50, 2000), random.integers(0, 30, 2000), random.permutation(2000), strict=True)
    return written(log(*(f"u{user},i{item},{time + 1_700_000_000}" for user, item, time in draws)))


def test_leave_one_out_tests_the_last_and_validates_the_last_but_one(three):
    data = prepared(three)
    assert by_id(data, "train") == {"1": ("abc", None), "2": ("a", None), "3": ("ae", None)}
    assert by_id(data, "val") == {"1": ("abc", "d"), "2": ("a", "b")}
    assert by_id(data, "test") == {"1": ("abcd", "e"), "2": ("ab", "c")}
    assert data.spec.target == NextItem(("a", "b", "c", "d", "e"), most=1)
    assert data.spec.protocol["users of fewer than 3 events train only"] == 1
    assert data.spec.protocol["events"] == 10


def test_a_history_has_its_user_and_its_times(three):
    data = prepared(three)
    history = data.examples("test")[0].input
    assert data.spec.input.users[history.user] == "1"
    assert list(history.times) == [10, 20, 30, 40]
    assert np.shares_memory(history.items, data.examples("val")[0].input.items)


def test_a_split_by_time_has_nothing_in_training_that_is_newer(many):
    data = prepared(many, split="time", val_share=0.2, test_share=0.1)
    newest = max(max(example.input.times) for example in data.examples("train"))
    split = parted(many, split="time", val_share=0.2, test_share=0.1)
    events, parts = split.events, split.parts
    assert newest < events.times[parts == 2].min() < events.times[parts == 3].min()
    assert [(parts == part).sum() for part in (0, 2, 3)] == [1400, 400, 200]
    for split in ("val", "test"):
        cut = events.times[parts == {"val": 2, "test": 3}[split]].min()
        assert all(max(example.input.times) < cut for example in data.examples(split))
    wanted = set(zip(events.users[parts == 3].tolist(), events.items[parts == 3].tolist(), strict=True))
    assert sum(len(example.target) for example in data.examples("test")) == len(wanted)
    assert data.spec.target.most == max(len(e.target) for split in ("val", "test") for e in data.examples(split))


def test_a_split_by_time_may_begin_on_given_dates(written):
    lines = [f"{user},{item},2024-0{month}-01" for user in "12" for month, item in enumerate("abcde", 1)]
    path = written(log(*lines))
    data = prepared(path, split="time", val_from="2024-04-01", test_from="2024-05-01")
    assert by_id(data, "train") == {"1": ("abc", None), "2": ("abc", None)}
    assert by_id(data, "val") == {"1": ("abc", "d"), "2": ("abc", "d")}
    assert by_id(data, "test") == {"1": ("abcd", "e"), "2": ("abcd", "e")}
    assert data.spec.protocol["val_from"] == "2024-04-01T00:00:00Z"
    with pytest.raises(DataError, match="no event is as late as 2030-01-01"):
        prepared(path, split="time", test_from="2030-01-01")
    with pytest.raises(DataError, match="time leaves no event of 10 to train on"):
        prepared(path, split="time", val_from="2020-01-01", test_from="2024-05-01")


def test_what_is_wanted_twice_is_one_target(written):
    rows = [f"1,{item},{time}" for time, item in enumerate("abcdcdc")]
    data = prepared(written(log(*rows)), split="time", test_from="1970-01-01T00:00:04", val_share=0)
    assert by_id(data, "test") == {"1": ("abcd", "cd")}
    assert data.spec.target.most == 2


def test_a_share_of_nothing_tests_nothing_and_says_so(many, caplog):
    with caplog.at_level("WARNING", "taskkit"):
        data = prepared(many, split="time", test_share=0)
    assert len(data.examples("test")) == 0
    assert "no event is in the test split" in caplog.text


def test_a_log_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv: it cannot be read: there is no such file"):
        prepared(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"item_column": "user"}, "item_column"),
        ({"time_column": "user"}, "time_column"),
        ({"rating_column": "timestamp"}, "rating_column"),
        ({"split": "time", "val_from": "2024-05-01", "test_from": "2024-05-01"}, "val_from"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, field):
    section = sections.Interactions(events="log.csv", **settings)
    assert [name for name, _ in section.problems()] == [field]


def test_events_of_one_moment_are_on_one_side_of_the_cut(written):
    path = written(log("1,a,1", "1,b,1", "1,c,2", "2,a,2", "2,b,2", "2,c,3"))
    assert parted(path, split="time", val_share=0, test_share=0.4).parts.tolist() == [0, 0, 3, 3, 3, 3]


def test_users_without_an_earlier_event_are_counted_and_not_judged(written):
    lines = [f"1,{item},{time}" for time, item in enumerate("abcdefgh", 1)]
    data = prepared(written(log(*lines, "2,a,9", "2,b,10")), split="time", val_share=0.1, test_share=0.1)
    assert set(by_id(data, "train")) == {"1"}
    assert by_id(data, "test") == {"2": ("a", "b")}
    assert data.examples("test")[0].input.user is None
    assert next(count for words, count in data.spec.protocol.items() if words.startswith("users without")) == 1


def test_users_held_out_are_judged_on_their_last_item_and_never_trained_on(many):
    data = prepared(many, split="users", val_share=0.2, test_share=0.2)
    users = [set(by_id(data, split)) for split in SPLITS]
    assert all(users)
    assert sum(map(len, users)) == len(set.union(*users)) == 50
    for split in ("val", "test"):
        for example in data.examples(split):
            assert example.input.user is None
            assert len(example.target) == 1
            assert len(example.input.items) >= 1


def test_a_user_stays_where_it_is_when_others_come(many, written):
    first = prepared(many, split="users")
    more = prepared(written(many.read_text() + "zz,i1,1800000000\nzy,i2,1800000000\n", "more.csv"), split="users")
    for split in SPLITS:
        assert set(by_id(first, split)) <= set(by_id(more, split))


def test_ratings_are_examples_of_pairs(written):
    path = written(log("1,a,1,5", "1,b,2,3", "1,c,3,1", "1,a,4,2", "2,a,5,4", header="user,item,timestamp,rating"))
    data = prepared(path, Rating)
    assert data.spec.target == Rating(1, 5)
    pairs = {
        e.id: (data.spec.input.users[e.input.user], data.spec.input.items[e.input.item], e.target)
        for e in data.examples("test")
    }
    assert pairs == {"1/a/row 4": ("1", "a", 2.0)}
    assert [example.target for example in data.examples("val")] == [1.0]
    assert {example.id for example in data.examples("train")} == {"1/a/row 1", "1/b/row 2", "2/a/row 5"}


@pytest.mark.parametrize(
    ("settings", "ratings", "message"),
    [
        ({}, "5 -1 3", "row 2: the rating is -1. 0 or more was expected.*data.rating_scale"),
        ({"rating_scale": [1, 5]}, "50 4 55", r"row 1: the rating is 50 \(and 1 more\). 1 to 5 was expected"),
        ({}, "5 5 5", "all ratings are 5"),
        ({"min_rating": 3}, "5 4 3", "ratings are what is to be predicted"),
        ({"split": "users"}, "5 4 3", "data.split is users"),
        ({"rating_column": None}, "5 4 3", "data.rating_column is null"),
        ({"rating_column": "stars"}, "5 4 3", "no column 'stars'.*data.rating_column"),
    ],
)
def test_ratings_that_cannot_be_right_are_explained(written, settings, ratings, message):
    lines = [f"1,{item},{item},{rating}" for item, rating in enumerate(ratings.split())]
    with pytest.raises(DataError, match=message):
        prepared(written(log(*lines, header="user,item,timestamp,rating")), Rating, **settings)


def test_a_scale_may_have_negative_ratings(written):
    path = written(log("1,a,1,-9", "1,b,2,9", header="user,item,timestamp,rating"))
    assert prepared(path, Rating, rating_scale=[-10, 10]).spec.target == Rating(-10, 10)


def test_events_rated_low_or_few_do_not_count(written):
    rated = [f"{user},{item},{time},{5 - time % 5}" for user in range(9) for time, item in enumerate("abcdefghij")]
    path = written(log(*rated, "x,z,1,5", header="user,item,timestamp,rating"))
    spec = prepared(path, min_rating=4, k_core=2).spec
    assert tuple(spec.input.items) == ("a", "b", "f", "g")
    assert (spec.protocol["min_rating"], spec.protocol["k_core"], spec.protocol["events_left_out"]) == (4, 2, 55)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k_core": 9}, "data.k_core=9 leaves no event: 3 events of 2 users and 2 items have no part so dense"),
        ({"min_rating": 6}, "data.min_rating=6 leaves no event: the highest rating is 5"),
        ({"min_rating": 5}, "there is only one item after filtering, 'a'"),
    ],
)
def test_filters_that_leave_nothing_are_explained(written, settings, message):
    path = written(log("1,a,1,5", "1,b,2,4", "2,a,3,5", header="user,item,timestamp,rating"))
    with pytest.raises(DataError, match=message):
        prepared(path, **settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty"),
        ("user,item,timestamp\n", "it holds no row"),
        ("user,item,timestamp\n1,a,1\n2,a,2\n", "there is only one item, 'a'"),
        ("user,timestamp\n1,1\n", "no column 'item'"),
    ],
)
def test_a_file_without_events_is_explained(written, text, message):
    with pytest.raises(DataError, match=message):
        prepared(written(text))


def test_items_have_titles_where_a_table_gives_them(three, written):
    items = written("item,title\na,Alpha\nb, Beta \nx,Nothing\nc,\n", "items.csv")
    spec = prepared(three, items=str(items)).spec
    assert tuple(spec.input.titles) == ("Alpha", "Beta", "", "", "")
    assert spec.target.readable((0, 2)) == "Alpha; c"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item,title\na,A\na,B\n", "row 2: item 'a' is there a second time"),
        ("item,title\n1,A\n", "none of its items is in the events, where items are called 'a', 'b', 'c'"),
        ("item,name\na,A\n", "no column 'title'.*data.title_column"),
    ],
)
def test_a_table_of_titles_that_does_not_fit_is_explained(three, written, text, message):
    with pytest.raises(DataError, match=message):
        prepared(three, items=str(written(text, "items.csv")))


def test_the_fingerprint_is_that_of_the_events_and_the_split(three, written):
    def fingerprint(path=three, **settings):
        return prepared(path, **settings).spec.fingerprint

    first = fingerprint()
    assert fingerprint() == first
    assert fingerprint(split="users", val_share=0, test_share=0.5) != first
    assert fingerprint(written(three.read_text().replace("1,e,50", "1,b,50"), "other.csv")) != first
    assert fingerprint(written(three.read_text(), "copy.csv")) == first


def test_where_it_came_from_is_recorded(three):
    (origin,) = prepared(three).spec.origins
    assert origin.source == str(three)
    assert len(origin.sha256) == 64


def test_settings_that_contradict_each_other_are_found_without_data(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "task: {name: recsys.next_item}\nmodel: {name: recsys.popular}\ntrainer: {max_epochs: 0}\n"
        "data: {name: recsys.interactions, events: log.csv, test_from: soon, rating_scale: [5], key: k,\n"
        "  min_rating: 3, rating_column: null, val_share: 0.6, test_share: 0.4}\n"
    )
    done = subprocess.run([sys.executable, "-m", "taskkit", "check", str(recipe)], capture_output=True, text=True)
    assert done.returncode == 2
    for said in (
        "'soon' says when a split by time begins",
        "'soon' is no date",
        "[5.0] is no scale",
        "pseudonymise is false",
        "rating_column is null",
        "leave nothing to train on",
        "val_share: 0.6 has no effect: leave_one_out holds out the last two events of each user",
        "test_share: 0.4 has no effect",
    ):
        assert said in done.stdout + done.stderr


def test_a_share_beside_a_date_for_the_same_split_is_refused():
    def said(**settings):
        return list(sections.Interactions(events="log.csv", **settings).problems())

    (problem,) = said(split="time", test_from="2024-06-30", test_share=0.3, val_share=0.2)
    assert problem[0] == "test_share"
    assert "0.3 has no effect: data.test_from says where the test split begins" in problem[1]
    assert not said(split="users", test_share=0.3)
    # As in the recipe of each run, which holds all defaults.
    assert not said(split="leave_one_out", val_share=0.1, test_share=0.1)
