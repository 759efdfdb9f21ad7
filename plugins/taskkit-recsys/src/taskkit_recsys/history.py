"""Raw examples of recommendation: what one user did, or one user and one item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class History:
    """The items of one user, oldest first, by their numbers in `Histories.items`.

    Without a target it is one to learn from: a network learns to predict each of its items. With a target, a tuple of
    item numbers, it is one to be continued.
    """

    user: int | None
    """The number of the user in `Histories.users`; None: nobody known."""
    items: Sequence[int]
    times: Sequence[float] = ()
    """When each item was taken, in seconds since 1970; empty: not known."""


@dataclass(frozen=True)
class Query(History):
    """A history that a person asks about: it is to be continued, although nobody knows the target."""


@dataclass(frozen=True)
class Pair:
    """A user and an item, whose rating is to be predicted; None: one that is not known."""

    user: int | None
    item: int | None
