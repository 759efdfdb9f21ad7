"""The ways in: windows that cover a history, what was seen, and what is remembered of training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from taskkit import Catalogue, DataError, DataSpec, Example
from taskkit_recsys.arrays import NONE
from taskkit_recsys.facts import Histories, NextItem, Rating
from taskkit_recsys.history import History, Pair, Query
from taskkit_recsys.processor import HistoryProcessor, PairProcessor
from taskkit_recsys.reading import ReadHistory, ReadPair


@pytest.fixture
def processor(cycle):
    processor = HistoryProcessor(cycle.spec(most=2), length=4)
    processor.fit(cycle.train())
    return processor


def windows(processor, items):
    return [s["history"].tolist() for s in processor.encode(Example("x", History(0, items)))]


def test_windows_to_learn_from_have_every_item_but_the_first_once_as_what_follows(cycle, processor):
    for count in range(2, 14):
        items = list(np.arange(count) % cycle.items)
        followers = [window[at] for window in windows(processor, items) for at in range(1, 5) if window[at] != NONE]
        assert followers == items[1:]
        assert all(len(window) == 5 for window in windows(processor, items))


def test_a_window_begins_with_the_last_item_of_the_one_before(processor):
    assert windows(processor, [0, 1, 2, 3, 4, 5]) == [[0, 1, 2, 3, 4], [4, 5, NONE, NONE, NONE]]


def test_a_history_to_continue_is_one_window_of_its_newest_items(processor):
    (sample,) = processor.encode(Example("x", History(3, [0, 1, 2, 3, 4, 9]), (5, 6)))
    assert sample["history"].tolist() == [2, 3, 4, 9, NONE]
    assert sample["user"] == 3
    assert sample["target"].tolist() == [5, 6]
    assert sample["target_seen"].tolist() == [0, 1, 2, 3, 4, 9]


def test_what_was_seen_takes_what_the_history_takes_however_many_items_there_are():
    items = Catalogue([str(item) for item in range(10**6)])
    processor = HistoryProcessor(DataSpec(Histories(("u",), items), NextItem(items), ""), length=4)
    short, long = (
        processor.encode(Example(name, Query(None, taken)))[0]
        for name, taken in (("a", [7, 7]), ("b", [9, 8, 999_999]))
    )
    assert sum(tensor.nbytes for tensor in long.values()) < 100
    assert processor.collate([short, long])["target_seen"].tolist() == [[7, NONE, NONE], [8, 9, 999_999]]


def test_a_history_that_somebody_asks_about_is_continued_without_a_target(processor):
    (sample,) = processor.encode(Example("x", Query(None, [])))
    assert sample["history"].tolist() == [NONE] * 5
    assert sample["user"] == NONE
    assert "target" not in sample


@pytest.mark.parametrize("target", [(), (1, 2, 3)])
def test_a_target_of_none_or_too_many_items_is_refused(processor, target):
    with pytest.raises(DataError, match="One to 2 were expected"):
        processor.encode(Example("x", History(0, [1]), target))


def test_a_second_training_history_of_a_user_is_refused(cycle, processor):
    with pytest.raises(DataError, match="second one of user 0"):
        processor.fit([*cycle.train(), Example("again", History(0, [1]))])


def test_it_remembers_what_users_took_and_its_state_brings_it_back(cycle, processor):
    other = HistoryProcessor(cycle.spec(most=2), length=9)
    other.load_state_dict(processor.state_dict())
    assert other.history_of(5) == cycle.steps(5, 0, 7)
    assert torch.equal(other.counts, torch.full((cycle.items,), 7 * cycle.users // cycle.items))
    assert other.window == 4


def without_names(spec):
    """The facts as a checkpoint keeps them."""
    bare = {
        name: Catalogue(None, len(names), names.sha256)
        for name, names in vars(spec.input).items()
        if isinstance(names, Catalogue)
    }
    target = NextItem(bare["items"], bare["titles"], spec.target.most)
    return DataSpec(replace(spec.input, **bare), target, spec.fingerprint)


def test_names_come_back_from_its_state_and_not_from_the_facts(cycle, processor):
    spec = without_names(cycle.spec(most=2))
    assert spec == cycle.spec(most=2)
    other = HistoryProcessor(spec, length=9)
    other.load_state_dict(processor.state_dict())
    (example,) = other.read("i3,i4", ReadHistory())
    assert example.input.items == [3, 4]
    assert other.requested(ReadHistory(user="u5"))[0].input == Query(5, cycle.steps(5, 0, 7))
    assert other.histories.title(3) == "i3"


def test_names_of_a_state_of_0_1_are_those_of_the_facts(cycle, processor):
    state = {name: value for name, value in processor.state_dict().items() if name != "names"}
    other = HistoryProcessor(cycle.spec(most=2), length=9)
    other.load_state_dict(state)
    assert other.requested(ReadHistory(user="u5"))[0].input == Query(5, cycle.steps(5, 0, 7))


def test_all_that_decides_samples_is_in_its_state_or_its_settings(cycle, processor):
    example = cycle.test()[0]
    for other in (HistoryProcessor(cycle.spec(most=2), length=5), HistoryProcessor(cycle.spec(most=3), length=4)):
        other.fit(cycle.train())
        assert [sample["target"].shape for sample in other.encode(example)] == [(other.most,)]
        assert (other.settings(), other.state_dict()["window"]) != (processor.settings(), processor.window)


def test_a_user_without_training_events_has_an_empty_history(cycle):
    processor = HistoryProcessor(cycle.spec(), length=4)
    processor.fit(cycle.train()[2:])
    assert processor.history_of(0) == processor.history_of(1) == []
    assert processor.history_of(2) == cycle.steps(2, 0, 7)


def test_pairs_become_numbers_and_the_mean_rating_is_remembered():
    spec = DataSpec(Histories(("u",), ("i", "j")), Rating(1, 5), "ratings")
    processor = PairProcessor(spec)
    processor.fit([Example("a", Pair(0, 0), 4.0), Example("b", Pair(0, 1), 1.0)])
    other = PairProcessor(spec)
    other.load_state_dict(processor.state_dict())
    assert other.mean == 2.5
    assert other.requested(ReadPair(user="u", item="j"))[0].input == Pair(0, 1)
    (sample,) = other.encode(Example("c", Pair(None, 1), 3.0))
    assert {name: value.item() for name, value in sample.items()} == {"user": NONE, "item": 1, "target": 3.0}


def test_an_item_that_training_has_no_rating_of_is_nothing_known():
    processor = PairProcessor(DataSpec(Histories(("u",), ("i", "j")), Rating(1, 5), "ratings"))
    processor.fit([Example("a", Pair(0, 0), 4.0)])
    (sample,) = processor.encode(Example("c", Pair(0, 1), 3.0))
    assert (sample["user"], sample["item"]) == (0, NONE)
