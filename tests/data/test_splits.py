from collections import Counter
from itertools import chain

import pytest

from taskkit.contracts.facts import Example
from taskkit.data.splits import by_share, hash_fraction, share_of, stratified

IDS = [f"{number:04d}" for number in range(1000)]
TARGETS = [number % 10 for number in range(1000)]


def test_every_class_gives_the_same_number_to_each_split():
    splits = stratified(IDS, TARGETS, val=5, test=10)
    for split, count in {"train": 85, "val": 5, "test": 10}.items():
        assert set(Counter(TARGETS[number] for number in splits[split]).values()) == {count}


def test_every_example_is_in_one_split():
    splits = stratified(IDS, TARGETS, val=5, test=10)
    assert sorted(chain(*splits.values())) == list(range(1000))


def test_the_order_of_the_examples_does_not_matter():
    reversed_ids, reversed_targets = IDS[::-1], TARGETS[::-1]
    there = {IDS[number] for number in stratified(IDS, TARGETS, val=5, test=10)["test"]}
    back = {reversed_ids[number] for number in stratified(reversed_ids, reversed_targets, val=5, test=10)["test"]}
    assert there == back


def test_splits_are_the_same_on_every_machine_and_for_ever():
    assert hash_fraction("0000") == pytest.approx(0.7870631826789288)
    assert stratified(IDS[:100], TARGETS[:100], val=0, test=1)["test"][:4] == [5, 11, 17, 22]


def test_shares_are_about_what_was_asked_for():
    counts = Counter(by_share(example, val=0.1, test=0.2) for example in IDS)
    assert 70 < counts["val"] < 130
    assert 160 < counts["test"] < 240


def test_a_bigger_validation_share_moves_no_test_example():
    before = {example for example in IDS if by_share(example, val=0.1, test=0.2) == "test"}
    after = {example for example in IDS if by_share(example, val=0.4, test=0.2) == "test"}
    assert before == after


def test_a_share_has_its_examples_in_order_and_each_larger_share_has_them_too():
    examples = [Example(id=each, input=number) for number, each in enumerate(IDS)]
    small, large, all_of_them = (share_of(examples, share) for share in (0.1, 0.3, 1.0))
    assert (len(small), len(large), len(all_of_them)) == (100, 300, 1000)
    assert [each.id for each in small] == sorted(each.id for each in small)
    assert {each.id for each in small} < {each.id for each in large}
    assert [*all_of_them] == examples
    assert small[-1] == [*small][-1]
    assert small[:3] == [*small][:3]
    assert len(share_of(examples[:2], 0.01)) == 1
    assert len(share_of([], 0.5)) == 0
    with pytest.raises(IndexError):
        small[100]
