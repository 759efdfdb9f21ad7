"""What users and items are rated on average: the baseline that ratings are measured against (Koren, 2010)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from taskkit import Example

ITEM_SHRINK, USER_SHRINK = 25, 10
"""Ratings of nothing special that each item and each user is taken to have beside its own; Koren's numbers."""


@dataclass(frozen=True)
class Biases:
    """The mean rating, and how far each item and each user lies from it, by their numbers."""

    mean: float
    items: NDArray[np.float64]
    users: NDArray[np.float64]

    @classmethod
    def of(cls, train: Sequence[Example]) -> Biases:
        """Those of training ratings: first the items', then of what is left the users'."""
        users, items, ratings = _columns(train)
        mean = float(ratings.mean())
        of_items = _shrunk(items, ratings - mean, ITEM_SHRINK)
        return cls(mean, of_items, _shrunk(users, ratings - mean - of_items[items], USER_SHRINK))

    def ratings(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """The rating of each pair; a user or an item that training did not know has nothing special."""
        users, items, _ = _columns(examples)
        return self.mean + _taken(self.items, items) + _taken(self.users, users)


def _columns(examples: Sequence[Example]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Users and items, -1 for nobody known, and their ratings."""
    rows = [(example.input.user, example.input.item, example.target) for example in examples]
    users, items = (np.array([-1 if row[side] is None else row[side] for row in rows], np.int64) for side in (0, 1))
    return users, items, np.array([row[2] for row in rows], np.float64)


def _shrunk(numbers: NDArray[np.int64], values: NDArray[np.float64], shrink: float) -> NDArray[np.float64]:
    known = numbers >= 0
    counts = np.bincount(numbers[known])
    sums = np.bincount(numbers[known], weights=values[known])
    return np.asarray(sums / (counts + shrink), dtype=np.float64)


def _taken(biases: NDArray[np.float64], numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    known = (numbers >= 0) & (numbers < len(biases))
    return np.where(known, biases[np.where(known, numbers, 0)] if len(biases) else 0.0, 0.0)
