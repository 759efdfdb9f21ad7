"""Examples are cut into folds by their ids alone: alike in classes, whole groups, every example tested once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from taskkit.contracts.facts import Classes, DataSpec, Example, Fact, Split, Values
from taskkit.data.folds import Look, cut, fold_numbers
from taskkit.errors import DataError


def looks(count: int, groups: int | None = None) -> list[Look]:
    return [Look(f"e{i}", None if groups is None else f"g{i % groups}", i % 3 == 0) for i in range(count)]


def test_folds_are_alike_in_size_and_classes() -> None:
    found, ours = fold_numbers(looks(1000), 5), looks(1000)
    assert Counter(found) == dict.fromkeys(range(5), 200)
    share = Counter(fold for fold, look in zip(found, ours, strict=True) if look.kind)
    assert set(share.values()) <= {66, 67}


def test_where_an_example_is_depends_on_no_order() -> None:
    ours = looks(100)
    straight = dict(zip(ours, fold_numbers(ours, 4), strict=True))
    assert dict(zip(ours[::-1], fold_numbers(ours[::-1], 4), strict=True)) == straight


def test_a_group_is_in_one_fold() -> None:
    ours = looks(300, groups=20)
    found = fold_numbers(ours, 4)
    homes = {(look.group, fold) for look, fold in zip(ours, found, strict=True)}
    assert len(homes) == 20
    assert max(Counter(found).values()) - min(Counter(found).values()) <= 15


def examples(names: Sequence[str], target: object = 0) -> list[Example]:
    return [Example(name, name, (i % 2 if target == 0 else (float(i),))) for i, name in enumerate(names)]


def spec(target: Fact) -> DataSpec:
    return DataSpec(Fact(), target, "sha256:0")


def splits(target: object = 0) -> dict[Split, Sequence[Example]]:
    whole = examples([f"e{i}" for i in range(30)], target)
    return {"train": whole[:20], "val": whole[20:25], "test": whole[25:]}


def test_every_example_is_tested_once_and_never_where_it_was_learnt_from() -> None:
    tested = list[str]()
    for fold in range(3):
        _, made = cut(spec(Classes(("a", "b"), (10, 10))), splits(), 3, fold, validated=True, name="data")
        ids = {split: {each.id for each in part} for split, part in made.items()}
        assert len(ids["train"] | ids["val"] | ids["test"]) == 30
        assert sum(map(len, made.values())) == 30
        tested += ids["test"]
    assert sorted(tested) == sorted(f"e{i}" for i in range(30))


def test_without_validation_all_others_are_learnt_from() -> None:
    _, made = cut(spec(Classes(("a", "b"), (10, 10))), splits(), 3, 0, validated=False, name="data")
    assert [len(made[split]) for split in ("train", "val", "test")] == [20, 0, 10]


def test_what_is_said_of_targets_is_of_those_that_are_learnt_from() -> None:
    ours, made = cut(spec(Classes(("a", "b"), (10, 10))), splits(), 3, 1, validated=True, name="data")
    assert isinstance(ours.target, Classes)
    assert ours.target.counts == tuple(sum(e.target == n for e in made["train"]) for n in (0, 1))
    numbers = splits(target=1.0)
    ours, made = cut(spec(Values(("x",), (99.0,), (99.0,))), numbers, 3, 1, validated=True, name="data")
    assert ours.target == Values.of([each.target for each in made["train"]], ("x",))
    fingerprints = {
        cut(spec(Classes(("a", "b"))), splits(), 3, fold, validated=validated, name="data")[0].fingerprint
        for fold in range(3)
        for validated in (True, False)
    }
    assert len(fingerprints) == 6


def test_splits_that_share_examples_are_refused() -> None:
    ours = {**splits(), "test": examples(["e0"])}
    with pytest.raises(DataError, match="several splits of data have one id, such as 'e0'"):
        cut(spec(Classes(("a", "b"))), ours, 3, 0, validated=True, name="data")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="has 30 examples, or groups of them"):
        cut(spec(Classes(("a", "b"))), splits(), 31, 0, validated=True, name="data")
