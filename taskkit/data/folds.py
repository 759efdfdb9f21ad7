"""Cross-validation: all examples of some data cut into parts, each of which is the test once."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import overload

from taskkit.contracts.facts import Classes, DataSpec, Example, Fact, Split, Values
from taskkit.data.splits import hash_fraction
from taskkit.errors import DataError


class Picked(Sequence[Example]):
    """Some examples of several sequences, in their order; each is read when it is asked for."""

    def __init__(self, parts: Sequence[Sequence[Example]], numbers: Sequence[int]) -> None:
        self._parts = parts
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, number: int) -> Example: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Example]: ...
    def __getitem__(self, number: int | slice) -> Example | Sequence[Example]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        left = self._numbers[number]
        for part in self._parts:
            if left < len(part):
                return part[left]
            left -= len(part)
        raise IndexError(number)


@dataclass(frozen=True)
class Look:
    """What decides in which fold an example is."""

    id: str
    group: str | None
    kind: Hashable
    """Its class, or None: folds have as many of each kind."""


def fold_numbers(looks: Sequence[Look], folds: int) -> list[int]:
    """The fold of each example: decided by ids alone, alike in size, and in the classes that they have.

    Where examples have groups, a group is in one fold, and folds are alike in size as far as that goes.
    """
    if any(look.group is not None for look in looks):
        return _grouped(looks, folds)
    kinds = defaultdict[Hashable, list[int]](list)
    for number, look in enumerate(looks):
        kinds[look.kind].append(number)
    found, place = [0] * len(looks), 0
    for kind in sorted(kinds, key=str):
        # From kind to kind the count goes on, so that folds differ in size by one at most.
        for number in sorted(kinds[kind], key=lambda each: hash_fraction(looks[each].id)):
            found[number] = place % folds
            place += 1
    return found


def _grouped(looks: Sequence[Look], folds: int) -> list[int]:
    """The largest groups first, each into the smallest fold."""
    names = [f"group {look.group}" if look.group is not None else f"example {look.id}" for look in looks]
    sizes, filled, where = Counter(names), [0] * folds, dict[str, int]()
    for name in sorted(sizes, key=lambda each: (-sizes[each], hash_fraction(each))):
        where[name] = min(range(folds), key=lambda fold: filled[fold])
        filled[where[name]] += sizes[name]
    return [where[name] for name in names]


def cut(
    spec: DataSpec, splits: Mapping[Split, Sequence[Example]], folds: int, fold: int, *, validated: bool, name: str
) -> tuple[DataSpec, Mapping[Split, Sequence[Example]]]:
    """All examples of some data anew: one fold is the test, the next one validation if `validated`, the rest training.

    What the spec says of the training targets is of the new ones. Raises DataError, which names the data, where
    examples of several splits have one id, or a fold would be empty.
    """
    parts = [splits[split] for split in splits]
    looks = [_look(example, spec.target) for part in parts for example in part]
    twice = [each for each, count in Counter(look.id for look in looks).items() if count > 1]
    if twice:
        raise DataError(
            f"loader.folds is {folds}, but examples of several splits of {name} have one id, such as {twice[0]!r}: "
            "they are not examples apart, of which any could be held out. Set it to null."
        )
    groups = len({look.group if look.group is not None else look for look in looks})
    if groups < folds:
        raise DataError(
            f"loader.folds is {folds}, but {name} has {groups} examples, or groups of them. Expected at least as many. "
            "Set it lower."
        )
    where = fold_numbers(looks, folds)
    held = {fold: "test", (fold + 1) % folds: "val" if validated else "train"}
    numbers = defaultdict[str, list[int]](list)
    for number, each in enumerate(where):
        numbers[held.get(each, "train")].append(number)
    made: dict[Split, Sequence[Example]] = {
        "train": Picked(parts, numbers["train"]),
        "val": Picked(parts, numbers["val"]),
        "test": Picked(parts, numbers["test"]),
    }
    said = f"{spec.fingerprint} fold {fold} of {folds}{'' if validated else ', not validated'}"
    return (
        replace(
            spec,
            target=_target(spec.target, made["train"]),
            fingerprint=f"sha256:{hashlib.sha256(said.encode()).hexdigest()}",
            protocol={**spec.protocol, "folds": folds, "fold": fold, "of": spec.fingerprint},
        ),
        made,
    )


def _look(example: Example, target: Fact) -> Look:
    return Look(example.id, example.group, example.target if isinstance(target, Classes) else None)


def _target(target: Fact, train: Sequence[Example]) -> Fact:
    """The fact of the targets, with what it says of those that are trained on."""
    if isinstance(target, Classes) and target.counts:
        counts = Counter(example.target for example in train)
        return replace(target, counts=tuple(counts[number] for number in range(len(target.names))))
    if isinstance(target, Values) and target.means:
        found = Values.of([example.target for example in train], target.names)
        return replace(target, means=found.means, deviations=found.deviations)
    return target
