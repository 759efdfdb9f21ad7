"""Examples are cut into folds by their ids alone: alike in classes, whole groups, every example tested once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
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
    with pytest.raises(DataError, match="has 30 examples, or groups and copies of them"):
        cut(spec(Classes(("a", "b"))), splits(), 31, 0, validated=True, name="data")


def parted(whole: Sequence[Example], folds: int = 3) -> list[set[str]]:
    """The ids that each fold tests, of examples that two splits have."""
    parts: dict[Split, Sequence[Example]] = {"train": whole[::2], "test": whole[1::2]}
    made = [cut(spec(Classes(("a", "b"))), parts, folds, each, validated=True, name="data")[1] for each in range(folds)]
    return [{each.id for each in fold["test"]} for fold in made]


@pytest.mark.parametrize("kind", ["text", "image", "record"])
def test_copies_of_one_input_are_in_one_fold(kind: str) -> None:
    def content(number: int) -> object:
        image = np.full((2, 2), number, np.uint8)
        return {"text": f"t{number}", "image": image, "record": {"a": image, "b": (number, None)}}[kind]

    whole = [Example(f"row {i}", content(i % 20), i % 2) for i in range(60)]
    for tested in parted(whole):
        assert {f"row {(int(each[4:]) + 20) % 60}" for each in tested} == tested
    assert all(15 <= len(tested) <= 24 for tested in parted(whole))


def test_a_copy_brings_its_group_along() -> None:
    whole = [Example(f"e{i}", f"t{i}", 0, group=f"g{i // 2}") for i in range(40)]
    whole.append(Example("copy", "t7", 0, group="g15"))
    (home,) = [tested for tested in parted(whole) if "copy" in tested]
    assert {"e6", "e7", "e30", "e31"} <= home


def test_what_has_no_content_to_compare_is_no_copy() -> None:
    whole = [Example(f"e{i}", object(), i % 2) for i in range(30)]
    assert [len(tested) for tested in parted(whole)] == [10, 10, 10]
