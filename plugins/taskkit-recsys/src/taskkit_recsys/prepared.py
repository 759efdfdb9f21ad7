"""From a table of events to facts and examples: read, filter, order, split."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskkit import Catalogue, DataError, DataSpec, Example, Fact, Prepared, Split, and_more
from taskkit_recsys import sections
from taskkit_recsys.events import Events, core, read_events
from taskkit_recsys.examples import HistoryExamples, RatingExamples
from taskkit_recsys.facts import EMPTY, Histories, NextItem, Rating
from taskkit_recsys.inspection import problems
from taskkit_recsys.source import Source
from taskkit_recsys.splits import TEST, TRAIN, VAL, Parted, part

log = logging.getLogger("taskkit")

PARTS: dict[Split, int] = {"train": TRAIN, "val": VAL, "test": TEST}


def prepare(source: Source, config: sections.Splitting, target: type[Fact]) -> Prepared:
    """Histories for the next item, or pairs where `target` is a Rating.

    Raises DataError for events that cannot be read, filters that leave none, and ratings that cannot be right.
    """
    rated = issubclass(target, Rating)
    if rated:
        _refuse_for_ratings(source, config)
    columns = source.columns if rated or config.min_rating is not None else replace(source.columns, rating=None)
    rename = source.key.pseudonym if source.key else None
    read = read_events(source.table, columns, source.time_unit, rename, source.date_order)
    parted = part(_filtered(read, source, config).renumbered().in_order(), config)
    protocol = {**_protocol(parted, config), "events_left_out": len(read) - len(parted.events)}
    spec, known = _spec(source, parted, protocol, rated), parted.known()
    splits = {split: _examples(parted, split, known, rated) for split in PARTS}
    return Prepared(spec, splits, partial(problems, source, read, parted, spec))


def _refuse_for_ratings(source: Source, config: sections.Splitting) -> None:
    if config.min_rating is not None:
        raise DataError(
            f"{source.name}: data.min_rating is {config.min_rating:g}, but ratings are what is to be predicted, and "
            "none may be left out for its value. Set it to null."
        )
    if config.split == "users":
        raise DataError(
            f"{source.name}: data.split is users, but no model can know how users rate of whom it saw no rating. "
            "Set it to time or leave_one_out."
        )
    if source.columns.rating is None:
        raise DataError(
            f"{source.name}: ratings are to be predicted, and data.rating_column is null. Name the column of ratings."
        )


def _filtered(read: Events, source: Source, config: sections.Splitting) -> Events:
    events = read
    if config.min_rating is not None:
        assert events.ratings is not None
        highest = events.ratings.max()
        events = events.take(events.ratings >= config.min_rating)
        if not len(events):
            raise _nothing_left(source, config, "min_rating", f"the highest rating is {highest:g}")
    if config.k_core > 1:
        before, events = events, core(events, config.k_core)
        if not len(events):
            users, items = (len(np.unique(numbers)) for numbers in (before.users, before.items))
            why = f"{len(before):,} events of {users:,} users and {items:,} items have no part so dense"
            raise _nothing_left(source, config, "k_core", why)
    if len(items_left := np.flatnonzero(np.bincount(events.items))) == 1:
        when = "" if len(events) == len(read) else " after filtering"
        raise DataError(
            f"{source.table.path}: there is only one item{when}, {events.item_ids[items_left[0]]!r}. At least two "
            "were expected, to choose from. Look at data.item_column, data.k_core and data.min_rating."
        )
    if len(events) < len(read):
        log.info("%s: %s of %s events are used", source.name, f"{len(events):,}", f"{len(read):,}")
    return events


def _nothing_left(source: Source, config: sections.Splitting, setting: str, why: str) -> DataError:
    return DataError(
        f"{source.table.path}: data.{setting}={getattr(config, setting):g} leaves no event: {why}. Some "
        "were expected to stay. Set it lower."
    )


def _examples(parted: Parted, split: Split, known: NDArray[np.bool_], rated: bool) -> Sequence[Example]:
    if rated:
        return RatingExamples(parted.events, np.flatnonzero(parted.parts == PARTS[split]), known)
    return HistoryExamples(parted.events, parted.spans(split), known)


def _spec(source: Source, parted: Parted, protocol: Mapping[str, Any], rated: bool) -> DataSpec:
    events = parted.events
    users, items = Catalogue(events.user_ids), Catalogue(events.item_ids)
    titles = Catalogue(source.titles.of(events.item_ids)) if source.titles else EMPTY
    key, check = (str(source.key.path), source.key.check) if source.key else ("", "")
    target = _scale(events, source) if rated else NextItem(items, titles, _most(parted))
    fingerprint = f"{source.name}-{_fingerprint(parted, rated)}"
    return DataSpec(Histories(users, items, titles, key, check), target, fingerprint, source.origins, protocol)


def _most(parted: Parted) -> int:
    """The largest number of different items in a target."""
    events, most = parted.events, 1
    for split in ("val", "test"):
        held_out = parted.parts == PARTS[split]
        pairs = np.unique(events.users[held_out] * len(events.item_ids) + events.items[held_out])
        counts = np.bincount(pairs // len(events.item_ids), minlength=len(events.user_ids))
        most = max(most, int(counts[parted.spans(split).users].max(initial=1)))
    return most


def _scale(events: Events, source: Source) -> Rating:
    assert events.ratings is not None
    ratings = events.ratings
    low, high = source.rating_scale or (float(ratings.min()), float(ratings.max()))
    outside = np.flatnonzero((ratings < low) | (ratings > high))
    if source.rating_scale is None and low < 0:
        outside = np.flatnonzero(ratings < 0)
    if len(outside):
        first = outside[np.argmin(events.rows[outside])]
        expected = f"{low:g} to {high:g}" if source.rating_scale else "0 or more"
        raise DataError(
            f"{source.table.where(int(events.rows[first]))}: the rating is {ratings[first]:g}"
            f"{and_more(outside.tolist())}. {expected} was expected. Correct it, take the row out, or set "
            "data.rating_scale=[LOWEST,HIGHEST] to what is right."
        )
    if low == high:
        raise DataError(
            f"{source.table.path}: all ratings are {low:g}. Different ones were expected, to learn from. Look "
            "at data.rating_column, or predict the next item instead."
        )
    return Rating(low, high)


def _protocol(parted: Parted, config: sections.Splitting) -> dict[str, Any]:
    return {
        **parted.words,
        "k_core": config.k_core,
        "min_rating": config.min_rating,
        "events of one moment": "in the order of the file",
        "users": len(parted.events.user_ids),
        "items": len(parted.events.item_ids),
        "events": len(parted.events),
    }


def _fingerprint(parted: Parted, rated: bool) -> str:
    """Of all that is in the examples, and in which split each is."""
    events, digest = parted.events, hashlib.blake2b(digest_size=16)
    for ids in (events.user_ids, events.item_ids):
        digest.update("\n".join(ids).encode() + b"\0")
    for values in (events.users, events.items, events.times, parted.parts):
        digest.update(np.ascontiguousarray(values).data)
    if rated:
        digest.update(np.ascontiguousarray(events.ratings).data)
    return digest.hexdigest()
