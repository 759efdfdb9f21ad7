"""What recommendation data state about their inputs and targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskkit import Catalogue, Fact
from taskkit_recsys.history import History, Pair

EMPTY = Catalogue(())
SHOWN = 8
"""So many items of a history are shown to people."""


@dataclass(frozen=True)
class Histories(Fact):
    """Each input is what one user did, a History, or a user and an item, a Pair: by numbers that stand for ids.

    A checkpoint keeps no names of it; the processor's state does. Tuples of names become Catalogues.
    """

    users: Catalogue
    """The id of each user by number; pseudonyms where the data are private."""
    items: Catalogue
    """The id of each item by number."""
    titles: Catalogue = EMPTY
    """What a person calls each item, by number; empty: not known, also of one item."""
    key: str = ""
    """The file with the key that users' ids were hashed with; empty: they are as they came."""
    key_check: str = ""
    """A hash that tells that key from others."""

    def __post_init__(self) -> None:
        _make_catalogues(self, "users", "items", "titles")

    def title(self, item: int) -> str:
        """What a person calls the item of this number: its title, or its id without one."""
        return _title(item, self.items, self.titles)

    def show(self, value: History | Pair) -> Mapping[str, Any]:
        """The last items of a History by what people call them, the latest first; or the item of a Pair."""
        if isinstance(value, Pair):
            return {"item": "not known" if value.item is None else self.title(value.item)}
        latest = [self.title(int(item)) for item in value.items[-SHOWN:]][::-1]
        return {f"the latest {len(latest)} of {len(value.items):,}": latest}

    def agrees(self, other: Fact) -> bool:
        """Whether users and items have the same numbers, by which networks know them; titles may differ."""
        return isinstance(other, Histories) and (self.users, self.items) == (other.users, other.items)


@dataclass(frozen=True)
class NextItem(Fact):
    """Each target is a tuple of the numbers of the items that follow a history; the training split has none.

    What a network learns to predict in training, it finds inside the history.
    """

    items: Catalogue
    """The id of each item by number, as in Histories."""
    titles: Catalogue = EMPTY
    """What a person calls each item, as in Histories."""
    most: int = 1
    """The largest number of items in a target of the validation or test split."""

    def __post_init__(self) -> None:
        _make_catalogues(self, "items", "titles")

    def readable(self, target: Sequence[int]) -> str:
        """The titles of the items, or their ids without titles."""
        return "; ".join(_title(item, self.items, self.titles) for item in target)

    def agrees(self, other: Fact) -> bool:
        """Whether the items are the same; how many of them are asked for may differ."""
        return isinstance(other, NextItem) and self.items == other.items


@dataclass(frozen=True)
class Rating(Fact):
    """Each target is a number: how much a user likes an item."""

    low: float
    """The lowest rating that can be given."""
    high: float
    """The highest rating that can be given."""

    def tensors(self) -> Mapping[str, str]:
        """`target`: the rating."""
        return {"target": "float (batch)"}


def _make_catalogues(fact: Fact, *fields: str) -> None:
    """Checkpoints of taskkit 0.1 hold tuples of names."""
    for field in fields:
        if not isinstance(names := getattr(fact, field), Catalogue):
            object.__setattr__(fact, field, Catalogue(names))


def _title(item: int, items: Sequence[str], titles: Sequence[str]) -> str:
    return (titles[item] if titles else "") or items[item]
