"""Sequences of raw examples that are cut out of one array of events when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast, overload

import numpy as np
from numpy.typing import NDArray

from taskkit import Example
from taskkit_recsys.events import Events, Numbers
from taskkit_recsys.history import History, Pair
from taskkit_recsys.splits import Spans


@dataclass(frozen=True)
class HistoryExamples(Sequence[Example]):
    """A history for each user of a split, and the items that follow it, unless it is one to learn from."""

    events: Events
    spans: Spans
    known: NDArray[np.bool_]
    """Which users have an event to train on; to the others' histories no user belongs that a model could know."""

    def __len__(self) -> int:
        return len(self.spans.users)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        spans, events = self.spans, self.events
        user, first, last, end = (int(of[index]) for of in (spans.users, spans.first, spans.last, spans.end))
        # Slices of arrays, which are sequences in all but name.
        items = cast("Sequence[int]", events.items[first:last])
        times = cast("Sequence[float]", events.times[first:last])
        history = History(user if self.known[user] else None, items, times)
        # An item that follows twice is one target: a list of recommendations holds an item once.
        target = tuple(dict.fromkeys(events.items[last:end].tolist())) or None
        return Example(events.user_ids[user], history, target)


@dataclass(frozen=True)
class RatingExamples(Sequence[Example]):
    """A user, an item and the rating, for some of the events; the ratings of a user are a group."""

    events: Events
    numbers: Numbers
    """Which events."""
    known: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        events, number = self.events, self.numbers[index]
        user, item = int(events.users[number]), int(events.items[number])
        # One user may rate one item twice; the row tells them apart.
        name = f"{events.user_ids[user]}/{events.item_ids[item]}/row {events.rows[number] + 1}"
        assert events.ratings is not None
        return Example(
            name, Pair(user if self.known[user] else None, item), float(events.ratings[number]), events.user_ids[user]
        )
