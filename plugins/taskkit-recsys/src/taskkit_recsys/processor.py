"""The ways into recommenders: windows of histories, and pairs of a user and an item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from taskkit import Batch, DataError, DataSpec, Example, Places, Processor, Sample, Unit
from taskkit_recsys.arrays import CATALOGUES, FILL_VALUES, NONE, histories, history_of, padded, query
from taskkit_recsys.facts import Histories, NextItem
from taskkit_recsys.history import History, Pair, Query
from taskkit_recsys.reading import (
    Directory,
    ReadHistory,
    ReadPair,
    read_histories,
    read_pairs,
    requested_history,
    requested_pair,
)


class HistoryProcessor(Processor):
    """Cut histories into windows of one size, and remember what each user took in training.

    A window has `length` items and one more place. Of a history to learn from there are as many windows as cover it;
    each begins with the last item of the one before, so that every item but the first is once to be predicted. A
    history to be continued has one window, of its newest items, and the last place stays free.
    """

    unit = Unit("items")
    predict_options = ReadHistory
    fill_values = FILL_VALUES

    def __init__(self, spec: DataSpec, length: int) -> None:
        assert isinstance(spec.input, Histories)
        assert isinstance(spec.target, NextItem)
        self.directory = Directory(spec.input)
        self.most = spec.target.most
        self.window = length
        self.starts = torch.zeros(len(self.histories.users) + 1, dtype=torch.int64)
        """Where the items of each user begin in `taken`, and where the last end."""
        self.taken = torch.zeros(0, dtype=torch.int32)
        """What all users took in training, one user after the other, each oldest first."""

    @property
    def histories(self) -> Histories:
        """The users and items, with their names."""
        return self.directory.histories

    def fit(self, examples: Sequence[Example]) -> None:
        """Remember the histories of the training split; raises DataError when a user has two."""
        histories: dict[int, History] = {}
        for example in examples:
            history = history_of(example)
            if history.user is None or history.user in histories:
                fault = "has no user" if history.user is None else f"is a second one of user {history.user}"
                raise DataError(f"{example.id}: this training history {fault}. One history for each user was expected.")
            histories[history.user] = history
        ordered = [histories[user].items if user in histories else () for user in range(len(self.histories.users))]
        lengths = torch.tensor([0, *map(len, ordered)])
        self.starts = lengths.cumsum(0)
        self.taken = torch.cat([torch.as_tensor(np.asarray(items, np.int32)) for items in ordered])

    @property
    def counts(self) -> Tensor:
        """How often each item was taken in training, int64 (items,)."""
        return torch.bincount(self.taken, minlength=len(self.histories.items))

    def history_of(self, user: int) -> list[int]:
        """What a user took in training, oldest first."""
        items: list[int] = self.taken[self.starts[user] : self.starts[user + 1]].tolist()
        return items

    def read(self, source: str, options: ReadHistory) -> Sequence[Example]:
        """Histories of a file of them, or of item ids; raises DataError for what is neither."""
        return read_histories(source, options, self.directory)

    def requested(self, options: ReadHistory) -> Sequence[Example]:
        """The history that a user had in training; raises DataError for a user that is not known."""
        return requested_history(options, self.directory, self.history_of)

    def encode(self, example: Example) -> Sequence[Sample]:
        """`history`: int32 (length + 1,), NONE after its end, and `user`: its number or NONE.

        A history to be continued also has `target_seen`, int32, the different items that are in it, and `target`: int32
        (most,), NONE after its end, when that is known.
        """
        history = history_of(example)
        if example.target is None and not isinstance(history, Query):
            items = np.asarray(history.items, np.int32)
            user = torch.tensor(NONE if history.user is None else history.user, dtype=torch.int32)
            last = max(len(items) - 1, 1)
            windows = [items[at : at + self.window + 1] for at in range(0, last, self.window)]
            return [{"history": torch.from_numpy(padded(window, self.window + 1)), "user": user} for window in windows]
        made = query(history, self.window)
        sample = {name: torch.from_numpy(array) for name, array in made.items()}
        if example.target is not None:
            sample["target"] = self._target(example)
        return [sample]

    def places(self, example: Example, sample: Sample) -> Places:
        """What people call the items of the window, the oldest first."""
        items = sample["history"][: self.length(sample)].tolist()
        return Places([self.histories.title(item) for item in items], "items", {"history": NONE, "user": NONE})

    def length(self, sample: Sample) -> int:
        """The items of the window."""
        return int(np.count_nonzero(sample["history"].numpy() != NONE))

    def padded_size(self, batch: Batch) -> int:
        """The places of all windows."""
        return batch["history"].numel()

    def settings(self) -> Mapping[str, Any]:
        """The size of a target; that of a window and the items are in the state."""
        return {"most": self.most}

    def state_dict(self) -> Mapping[str, Any]:
        """What users took in training, the size of a window, and the names of users and items."""
        return {"window": self.window, "starts": self.starts, "taken": self.taken, "names": _saved(self.histories)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.window, self.starts, self.taken = state["window"], state["starts"], state["taken"]
        self.directory = _directory(state, self.directory)

    def _target(self, example: Example) -> Tensor:
        target = np.asarray(example.target, np.int32)
        if not 0 < len(target) <= self.most:
            raise DataError(
                f"{example.id}: {len(target)} items follow this history. One to {self.most} were expected, as the data "
                "state. This is a fault of the data module."
            )
        return torch.from_numpy(padded(target, self.most))


class PairProcessor(Processor):
    """Users and items by their numbers, the mean of the ratings in training, and which items it had."""

    predict_options = ReadPair

    def __init__(self, spec: DataSpec) -> None:
        assert isinstance(spec.input, Histories)
        self.directory = Directory(spec.input)
        self.mean = 0.0
        self.rated = torch.zeros(len(self.histories.items), dtype=torch.bool)
        """Which items training has a rating of."""

    @property
    def histories(self) -> Histories:
        """The users and items, with their names."""
        return self.directory.histories

    def fit(self, examples: Sequence[Example]) -> None:
        """Take the mean of the ratings, and the items."""
        total = 0.0
        for example in examples:
            total += float(example.target)
            self.rated[example.input.item] = True
        self.mean = total / len(examples)

    def read(self, source: str, options: ReadPair) -> Sequence[Example]:
        """Pairs of a file of them; raises DataError for what is none, or not known."""
        return read_pairs(source, options, self.directory)

    def requested(self, options: ReadPair) -> Sequence[Example]:
        """The pair of the user and the item that the options name; raises DataError for one that is not known."""
        return requested_pair(options, self.directory)

    def encode(self, example: Example) -> Sequence[Sample]:
        """`user` and `item`: their numbers, or NONE for what training did not have, and `target`: float32.

        Raises DataError for an input that is no Pair.
        """
        pair = example.input
        if not isinstance(pair, Pair):
            raise DataError(f"{example.id}: its input is a {type(pair).__name__}. A Pair was expected.")
        numbers = {"user": pair.user, "item": pair.item if pair.item is None or self.rated[pair.item] else None}
        sample = {name: torch.tensor(NONE if n is None else n, dtype=torch.int32) for name, n in numbers.items()}
        if example.target is not None:
            sample["target"] = torch.tensor(float(example.target))
        return [sample]

    def places(self, example: Example, sample: Sample) -> Places:
        """That either may be unknown."""
        return Places((), "items", {"user": NONE, "item": NONE})

    def settings(self) -> Mapping[str, Any]:
        """Nothing: which items training has a rating of is in the state."""
        return {}

    def state_dict(self) -> Mapping[str, Any]:
        """The mean of the ratings, the items that training has one of, and the names of users and items."""
        return {"mean": self.mean, "rated": self.rated, "names": _saved(self.histories)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.mean, self.rated = state["mean"], state["rated"]
        self.directory = _directory(state, self.directory)


def _saved(histories: Histories) -> Mapping[str, Any]:
    """Names as tensors, since millions of strings take long to read and to hash: UTF-8, and the bytes of each name."""
    saved: dict[str, Any] = {"key": histories.key, "key_check": histories.key_check}
    for field in CATALOGUES:
        names = [name.encode() for name in getattr(histories, field)]
        text = torch.from_numpy(np.frombuffer(bytearray().join(names), np.uint8))
        saved[field] = {"text": text, "lengths": torch.tensor(list(map(len, names)), dtype=torch.int32)}
    return saved


def _directory(state: Mapping[str, Any], of_spec: Directory) -> Directory:
    """That of the names in a state; in taskkit 0.1 the facts of the spec had them."""
    if "names" not in state:
        return of_spec
    return Directory(histories(state["names"]))
