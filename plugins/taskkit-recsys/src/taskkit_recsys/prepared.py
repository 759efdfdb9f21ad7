"""From a table of events to facts and examples: read, filter, order, split."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from taskkit import DataError, DataSpec, Example, Fact, Origin, Split, TableFile, more
from taskkit_recsys import sections
from taskkit_recsys.cells import is_empty
from taskkit_recsys.events import Columns, Events, core, read_events
from taskkit_recsys.examples import HistoryExamples, RatingExamples
from taskkit_recsys.facts import Histories, NextItem, Rating
from taskkit_recsys.pseudonyms import Key
from taskkit_recsys.splits import TEST, TRAIN, VAL, part
from taskkit_recsys.times import Unit

log = logging.getLogger("taskkit")

PARTS: dict[Split, int] = {"train": TRAIN, "val": VAL, "test": TEST}


@dataclass(frozen=True)
class Source:
    """Where events are: their table, how to read it, and what is known of the items."""

    name: str
    """The data module's."""
    table: TableFile
    columns: Columns
    origins: tuple[Origin, ...]
    time_unit: Unit = "s"
    titles: TitleTable | None = None
    key: Key | None = None
    """Users become pseudonyms of this key."""
    rating_scale: tuple[float, float] | None = None


@dataclass(frozen=True)
class TitleTable:
    """A table of items and what people call them."""

    table: TableFile
    item: str
    title: str

    def of(self, items: Sequence[str]) -> tuple[str, ...]:
        """The title of each of these items, empty where it has none.

        Raises DataError, by row, for an item that is there twice, and when none of the items is there.
        """
        names = [str(name).strip() for name in self.table.filled(self.item, "data.item_column")]
        titles = self.table.column(self.title, "data.title_column")
        found: dict[str, str] = {}
        for row, (name, title) in enumerate(zip(names, titles, strict=True)):
            if name in found:
                raise DataError(
                    f"{self.table.where(row)}: item {name!r} is there a second time. Each item was expected once. "
                    "Take one of the rows out."
                )
            found[name] = "" if title is None or is_empty(str(title)) else str(title).strip()
        chosen = tuple(found.get(item, "") for item in items)
        if not any(chosen):
            raise DataError(
                f"{self.table.path}: none of its items is in the events, where items are called "
                f"{', '.join(map(repr, items[:3]))}. Its column {self.item!r} was expected to hold the same ids. "
                "Set data.item_column, or give another file."
            )
        return chosen


class Prepared:
    """Events that were read, filtered and split, and the facts about them."""

    def __init__(self, source: Source, config: sections.Splitting, target: type[Fact]) -> None:
        self.source = source
        self.config = config
        rated = issubclass(target, Rating)
        columns = source.columns
        if rated:
            self._refuse_for_ratings()
        elif config.min_rating is None:
            columns = Columns(columns.user, columns.item, columns.time, None)
        self.read = read_events(source.table, columns, source.time_unit, source.key.pseudonym if source.key else None)
        """All events, in the order of the file."""
        self.parted = part(self._filtered().renumbered().in_order(), config)
        self.events = self.parted.events
        self.known = self.parted.known()
        self.splits = {split: self._examples(split, rated) for split in PARTS}
        self.spec = self._spec(rated)

    def _refuse_for_ratings(self) -> None:
        where = self.source.name
        if self.config.min_rating is not None:
            raise DataError(
                f"{where}: data.min_rating is {self.config.min_rating:g}, but ratings are what is to be predicted, and "
                "none may be left out for its value. Set it to null."
            )
        if self.config.split == "users":
            raise DataError(
                f"{where}: data.split is users, but no model can know how users rate of whom it saw no rating. "
                "Set it to time or leave_one_out."
            )
        if self.source.columns.rating is None:
            raise DataError(
                f"{where}: ratings are to be predicted, and data.rating_column is null. Name the column of ratings."
            )

    def _filtered(self) -> Events:
        events, config = self.read, self.config
        if config.min_rating is not None:
            assert events.ratings is not None
            highest = events.ratings.max()
            events = events.take(events.ratings >= config.min_rating)
            if not len(events):
                raise self._nothing("min_rating", f"the highest rating is {highest:g}")
        if config.k_core > 1:
            before, events = events, core(events, config.k_core)
            if not len(events):
                users, items = (len(np.unique(numbers)) for numbers in (before.users, before.items))
                raise self._nothing(
                    "k_core", f"{len(before):,} events of {users:,} users and {items:,} items have no part so dense"
                )
        if len(left := np.flatnonzero(np.bincount(events.items))) == 1:
            when = "" if len(events) == len(self.read) else " after filtering"
            raise DataError(
                f"{self.source.table.path}: there is only one item{when}, {events.item_ids[left[0]]!r}. At least two "
                "were expected, to choose from. Look at data.item_column, data.k_core and data.min_rating."
            )
        if len(events) < len(self.read):
            log.info("%s: %s of %s events are used", self.source.name, f"{len(events):,}", f"{len(self.read):,}")
        return events

    def _nothing(self, setting: str, why: str) -> DataError:
        return DataError(
            f"{self.source.table.path}: data.{setting}={getattr(self.config, setting):g} leaves no event: {why}. Some "
            "were expected to stay. Set it lower."
        )

    def _examples(self, split: Split, rated: bool) -> Sequence[Example]:
        if rated:
            return RatingExamples(self.events, np.flatnonzero(self.parted.parts == PARTS[split]), self.known)
        return HistoryExamples(self.events, self.parted.spans(split), self.known)

    def _spec(self, rated: bool) -> DataSpec:
        source, events = self.source, self.events
        users, items = tuple(events.user_ids), tuple(events.item_ids)
        titles = source.titles.of(items) if source.titles else ()
        key, check = (str(source.key.path), source.key.check) if source.key else ("", "")
        facts = Histories(users, items, titles, key, check)
        target = self._scale() if rated else NextItem(items, titles, self._most())
        return DataSpec(facts, target, self._fingerprint(), source.origins, self._protocol())

    def _most(self) -> int:
        """The largest number of different items in a target."""
        events, most = self.events, 1
        for split in ("val", "test"):
            wanted = self.parted.parts == PARTS[split]
            pairs = np.unique(events.users[wanted] * len(events.item_ids) + events.items[wanted])
            counts = np.bincount(pairs // len(events.item_ids), minlength=len(events.user_ids))
            most = max(most, int(counts[self.parted.spans(split).users].max(initial=1)))
        return most

    def _scale(self) -> Rating:
        ratings = self.events.ratings
        assert ratings is not None
        low, high = self.source.rating_scale or (float(ratings.min()), float(ratings.max()))
        outside = np.flatnonzero((ratings < low) | (ratings > high))
        if self.source.rating_scale is None and low < 0:
            outside = np.flatnonzero(ratings < 0)
        if len(outside):
            first = outside[np.argmin(self.events.rows[outside])]
            said = f"{low:g} to {high:g}" if self.source.rating_scale else "0 or more"
            raise DataError(
                f"{self.source.table.where(int(self.events.rows[first]))}: the rating is {ratings[first]:g}"
                f"{more(outside.tolist())}. {said} was expected. Correct it, take the row out, or set "
                "data.rating_scale=[LOWEST,HIGHEST] to what is right."
            )
        if low == high:
            raise DataError(
                f"{self.source.table.path}: all ratings are {low:g}. Different ones were expected, to learn from. Look "
                "at data.rating_column, or predict the next item instead."
            )
        return Rating(low, high)

    def _protocol(self) -> dict[str, Any]:
        config, events = self.config, self.events
        return {
            **self.parted.words,
            "k_core": config.k_core,
            "min_rating": config.min_rating,
            "events of one moment": "in the order of the file",
            "users": len(events.user_ids),
            "items": len(events.item_ids),
            "events": len(events),
            "events_left_out": len(self.read) - len(events),
        }

    def _fingerprint(self) -> str:
        """Of all that is in the examples, and in which split each is."""
        events, digest = self.events, hashlib.blake2b(digest_size=16)
        for ids in (events.user_ids, events.item_ids):
            digest.update("\n".join(ids).encode() + b"\0")
        for values in (events.users, events.items, events.times, self.parted.parts):
            digest.update(np.ascontiguousarray(values).data)
        if events.ratings is not None and isinstance(self.splits["train"], RatingExamples):
            digest.update(np.ascontiguousarray(events.ratings).data)
        return f"{self.source.name}-{digest.hexdigest()}"
