"""Splits that never move: where an example belongs is decided by a hash of its id, not by chance or order."""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import overload

from taskkit.contracts.facts import Example, Split

ORDER = 0
"""The seed of the order in which examples come into a share: another would be another share."""


def hash_fraction(example: str) -> float:
    """A number from 0 to 1 that depends on the id alone and is evenly spread over ids."""
    return int.from_bytes(hashlib.blake2b(example.encode(), digest_size=7).digest()) / 256**7


def by_share(example: str, val: float, test: float) -> Split:
    """The split of one example when `val` and `test` are shares of all; other examples do not matter."""
    place = hash_fraction(example)
    return "test" if place < test else "val" if place < test + val else "train"


def stratified(examples: Sequence[str], targets: Sequence[Hashable], val: int, test: int = 0) -> dict[Split, list[int]]:
    """The numbers of the examples of each split: in each class `test` and `val` of them are held out."""
    classes = defaultdict(list)
    for number, target in enumerate(targets):
        classes[target].append(number)
    splits: dict[Split, list[int]] = {"train": [], "val": [], "test": []}
    for numbers in classes.values():
        ranked = sorted(numbers, key=lambda number: hash_fraction(examples[number]))
        splits["test"] += ranked[:test]
        splits["val"] += ranked[test : test + val]
        splits["train"] += ranked[test + val :]
    return {split: sorted(numbers) for split, numbers in splits.items()}


class Picked(Sequence[Example]):
    """Some examples of several sequences, in the order of their numbers; each is read when it is asked for."""

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


def share_of(examples: Sequence[Example], share: float) -> Picked:
    """A share of some examples, in their order: the same ones each time, all of which are in each larger share.

    Which ones is decided by their numbers, so that none is read for it; there is one at least of those that there are.
    """
    count = min(len(examples), max(1, round(share * len(examples))))
    numbers = list(range(len(examples)))
    random.Random(ORDER).shuffle(numbers)
    return Picked([examples], sorted(numbers[:count]))
