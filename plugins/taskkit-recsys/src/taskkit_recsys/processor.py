"""The ways into recommenders: windows of histories, and pairs of a user and an item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from taskkit import DataError, DataSpec, Example, Processor, Sample, Unit
from taskkit_recsys.facts import Histories, NextItem
from taskkit_recsys.history import Asked, History, Pair
from taskkit_recsys.reading import (
    ReadHistory,
    ReadPair,
    read_histories,
    read_pairs,
    requested_history,
    requested_pair,
)

NONE = -1
"""Stands in tensors where there is no item or no user."""


class HistoryProcessor(Processor):
    """Cut histories into windows of one size, and remember what each user took in training.

    A window has `length` items and one more place. Of a history to learn from there are as many windows as cover it;
    each begins with the last item of the one before, so that every item but the first is once to be predicted. A
    history to be continued has one window, of its newest items, and the last place stays free.
    """

    unit = Unit("items")
    predict_options = ReadHistory
    asked: ReadHistory

    def __init__(self, spec: DataSpec, length: int) -> None:
        assert isinstance(spec.input, Histories)
        assert isinstance(spec.target, NextItem)
        self.facts = spec.input
        self.most = spec.target.most
        self.window = length
        self.starts = torch.zeros(len(self.facts.users) + 1, dtype=torch.int64)
        """Where the items of each user begin in `taken`, and where the last end."""
        self.taken = torch.zeros(0, dtype=torch.int32)
        """What all users took in training, one user after the other, each oldest first."""

    def fit(self, examples: Sequence[Example]) -> None:
        """Remember the histories of the training split; raises DataError when a user has two."""
        histories: dict[int, History] = {}
        for example in examples:
            history = _history(example)
            if history.user is None or history.user in histories:
                who = "has no user" if history.user is None else f"is a second one of user {history.user}"
                raise DataError(f"{example.id}: this training history {who}. One history for each user was expected.")
            histories[history.user] = history
        ordered = [histories[user].items if user in histories else () for user in range(len(self.facts.users))]
        lengths = torch.tensor([0, *map(len, ordered)])
        self.starts = lengths.cumsum(0)
        self.taken = torch.cat([torch.as_tensor(np.asarray(items, np.int32)) for items in ordered])

    @property
    def counts(self) -> Tensor:
        """How often each item was taken in training, int64 (items,)."""
        return torch.bincount(self.taken, minlength=len(self.facts.items))

    def history_of(self, user: int) -> list[int]:
        """What a user took in training, oldest first."""
        items: list[int] = self.taken[self.starts[user] : self.starts[user + 1]].tolist()
        return items

    def read(self, source: str) -> Sequence[Example]:
        """Histories of a file of them, or of item ids."""
        return read_histories(source, self.asked, self.facts)

    def requested(self) -> Sequence[Example]:
        """The history that a user had in training."""
        return requested_history(self.asked, self.facts, self.history_of)

    def encode(self, example: Example) -> Sequence[Sample]:
        """`history`: int32 (length + 1,), NONE after its end, and `user`: its number or NONE.

        A history to be continued also has `target_seen`, a bit for each item that is in it (eight of them in a byte,
        the lowest first), and `target`: int32 (most,), NONE after its end, when that is known.
        """
        history = _history(example)
        items = torch.as_tensor(np.asarray(history.items, np.int32))
        user = torch.tensor(NONE if history.user is None else history.user, dtype=torch.int32)
        if example.target is None and not isinstance(history, Asked):
            last = max(len(items) - 1, 1)
            windows = [items[at : at + self.window + 1] for at in range(0, last, self.window)]
            return [{"history": _padded(window, self.window + 1), "user": user} for window in windows]
        sample = {
            "history": _padded(items[-self.window :], self.window + 1),
            "user": user,
            "target_seen": _bits(items, len(self.facts.items)),
        }
        if example.target is not None:
            sample["target"] = self._target(example)
        return [sample]

    def length(self, sample: Sample) -> int:
        """The items of the window."""
        return int((sample["history"] != NONE).sum())

    def capacity(self, batch: Mapping[str, Tensor]) -> int:
        """The places of all windows."""
        return batch["history"].numel()

    def state_dict(self) -> Mapping[str, Any]:
        """What users took in training, and the size of a window."""
        return {"window": self.window, "starts": self.starts, "taken": self.taken}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        vars(self).update(state)

    def _target(self, example: Example) -> Tensor:
        target = torch.as_tensor(np.asarray(example.target, np.int32))
        if not 0 < len(target) <= self.most:
            raise DataError(
                f"{example.id}: {len(target)} items follow this history. One to {self.most} were expected, as the data "
                "state. This is a fault of the data module."
            )
        return _padded(target, self.most)


class PairProcessor(Processor):
    """Users and items by their numbers, the mean of the ratings in training, and which items it had."""

    predict_options = ReadPair
    asked: ReadPair

    def __init__(self, spec: DataSpec) -> None:
        assert isinstance(spec.input, Histories)
        self.facts = spec.input
        self.mean = 0.0
        self.rated = torch.zeros(len(self.facts.items), dtype=torch.bool)
        """Which items training has a rating of."""

    def fit(self, examples: Sequence[Example]) -> None:
        """Take the mean of the ratings, and the items."""
        total = 0.0
        for example in examples:
            total += float(example.target)
            self.rated[example.input.item] = True
        self.mean = total / len(examples)

    def read(self, source: str) -> Sequence[Example]:
        """Pairs of a file of them."""
        return read_pairs(source, self.asked, self.facts)

    def requested(self) -> Sequence[Example]:
        """The user and the item that are asked for."""
        return requested_pair(self.asked, self.facts)

    def encode(self, example: Example) -> Sequence[Sample]:
        """`user` and `item`: their numbers, or NONE for what training did not have, and `target`: float32."""
        pair = example.input
        if not isinstance(pair, Pair):
            raise DataError(f"{example.id}: its input is a {type(pair).__name__}. A Pair was expected.")
        numbers = {"user": pair.user, "item": pair.item if pair.item is None or self.rated[pair.item] else None}
        sample = {name: torch.tensor(NONE if n is None else n, dtype=torch.int32) for name, n in numbers.items()}
        if example.target is not None:
            sample["target"] = torch.tensor(float(example.target))
        return [sample]

    def state_dict(self) -> Mapping[str, Any]:
        """The mean of the ratings, and the items that training has one of."""
        return {"mean": self.mean, "rated": self.rated}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        vars(self).update(state)


def _history(example: Example) -> History:
    if not isinstance(example.input, History):
        raise DataError(f"{example.id}: its input is a {type(example.input).__name__}. A History was expected.")
    return example.input


def _padded(items: Tensor, size: int) -> Tensor:
    return torch.nn.functional.pad(items, (0, size - len(items)), value=NONE)


def _bits(items: Tensor, count: int) -> Tensor:
    """A bit for each of `count` items, set for these: uint8 (count / 8, rounded up,), the lowest bits first."""
    present = np.zeros(count, bool)
    present[items.numpy()] = True
    return torch.from_numpy(np.packbits(present, bitorder="little"))
