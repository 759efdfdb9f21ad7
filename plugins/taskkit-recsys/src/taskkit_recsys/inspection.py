"""What is wrong with a log: doubled events, odd times, leaks, users and items without a past, skew."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from taskkit import DataProblem, DataSpec, first_ids, percent
from taskkit_recsys.events import Events, Numbers
from taskkit_recsys.facts import Histories, Rating
from taskkit_recsys.source import Source
from taskkit_recsys.splits import CONTEXT, TEST, TRAIN, VAL, Parted
from taskkit_recsys.times import DAY, EARLIEST, SECONDS, TimeUnit, Unit, iso

UNEVEN = 0.5
"""How unevenly events may be spread over items, as a Gini coefficient, before it is worth a warning."""
ACTIVE = 50
"""Times the events of the median user that one may have."""


def problems(source: Source, read: Events, parted: Parted, spec: DataSpec) -> Iterator[DataProblem]:
    """Everything that a person should know of events, as they were `read` and as they were filtered and parted."""
    yield _size(parted.events)
    yield from _times(read, source.time_unit)
    yield from _order(read)
    yield from _duplicates(read, parted)
    yield from _ties(parted.events)
    yield from _cold(parted)
    yield from _leaks(parted)
    if isinstance(spec.input, Histories):
        yield from _untitled(spec.input)
    yield from _skew(parted.events)
    yield from _active(parted.events)
    if isinstance(spec.target, Rating) and source.rating_scale is None:
        yield from _zeros(parted.events)


def gini(counts: Numbers) -> float:
    """How unevenly events are spread: 0 when all have as many, towards 1 when one has all (Gini's coefficient)."""
    ranked = np.sort(counts)
    ranks = np.arange(1, len(ranked) + 1)
    return float((2 * ranks - len(ranked) - 1) @ ranked / (len(ranked) * ranked.sum()))


def _size(events: Events) -> DataProblem:
    """What is left of a log once it is filtered."""
    users, items = len(events.user_ids), len(events.item_ids)
    counts = np.bincount(events.users, minlength=users)
    pairs = len(np.unique(events.users * items + events.items))
    return DataProblem(
        "info",
        "events",
        f"{len(events):,} events of {users:,} users and {items:,} items, {percent(pairs / (users * items), 2)} "
        f"of all pairs, from {iso(events.times.min())} to {iso(events.times.max())}. {_of_a_user(counts)}",
    )


def _of_a_user(counts: Numbers) -> str:
    if counts.min() == counts.max():
        return f"Each user has {counts.max():,} of them."
    return f"A user has {counts.min():,} to {counts.max():,} of them, the median user {np.median(counts):g}."


def _times(events: Events, unit: TimeUnit) -> Iterator[DataProblem]:
    now = time.time()
    odd = {"before 1990": events.times < EARLIEST, "in the future": events.times > now + DAY}
    for when, which in odd.items():
        if not which.any():
            continue
        # What the numbers would be in each unit: the one that puts most of them between 1990 and now is meant.
        read_in: Unit = "s" if unit == "auto" else unit
        median = float(np.median(events.times)) / SECONDS[read_in]
        meant = next((other for other, size in SECONDS.items() if EARLIEST < median * size <= now), read_in)
        first = int(np.argmax(which))
        yield DataProblem(
            "error" if which.mean() > 0.5 else "warning",
            "time",
            f"{_share(which)} of the events are {when}, such as that of row {events.rows[first] + 1}, "
            f"{iso(events.times[first])}. "
            + (
                "Look at data.time_column."
                if meant == read_in
                else f"They look like {meant}: set data.time_unit={meant}."
            ),
            _rows(events, which),
        )


def _order(events: Events) -> Iterator[DataProblem]:
    back = np.diff(events.times) < 0
    if back.any():
        yield DataProblem(
            "warning",
            "order",
            f"The file is not in the order of time: {_share(back)} of its rows are older than the row before. "
            "Events are put in order; only where times are equal does the order of the file count.",
        )


def _duplicates(events: Events, parted: Parted) -> Iterator[DataProblem]:
    order = np.lexsort((events.times, events.items, events.users))
    users, items, times = events.users[order], events.items[order], events.times[order]
    same = (users[1:] == users[:-1]) & (items[1:] == items[:-1])
    doubled = same & (times[1:] == times[:-1])
    if doubled.any():
        which = np.zeros(len(events), bool)
        which[order[1:][doubled]] = True
        yield DataProblem(
            "warning",
            "duplicate",
            f"{doubled.sum():,} events are there twice: the same user, item and time. Each counts. "
            "Take them out, unless they are separate events.",
            _rows(events, which),
        )
    again = same & ~doubled
    if again.any():
        seen = _seen_targets(parted)
        yield DataProblem(
            "warning",
            "repeat",
            f"{_share(again)} of the events are of an item that their user had before, and so are {percent(seen)} of "
            "the test targets. Recommendations leave out what was seen, so these count as missed; metrics "
            "that end in _unfiltered find them.",
        )


def _seen_targets(parted: Parted) -> float:
    """The share of the events of the test split whose user had the item before."""
    events, test = parted.events, parted.parts == TEST
    pairs = events.users * len(events.item_ids) + events.items
    # Events are in order, so the first of a pair is the oldest.
    _, first = np.unique(pairs, return_index=True)
    again = np.ones(len(events), bool)
    again[first] = False
    return float(again[test].mean()) if test.any() else 0.0


def _ties(events: Events) -> Iterator[DataProblem]:
    tied = (np.diff(events.users) == 0) & (np.diff(events.times) == 0)
    if tied.any():
        yield DataProblem(
            "warning",
            "ties",
            f"{_share(tied)} of the events have the time of the event before, by the same user. Which of them is last, "
            "and so which is held out, the order of the file decides.",
        )


def _cold(parted: Parted) -> Iterator[DataProblem]:
    events, parts = parted.events, parted.parts
    learnt = np.bincount(events.items[(parts == TRAIN)], minlength=len(events.item_ids)) > 0
    for split, part in (("validation", VAL), ("test", TEST)):
        targets = parts == part
        if not targets.any():
            yield DataProblem("warning", "empty", f"No event is in the {split} split.")
            continue
        cold = ~learnt[events.items[targets]]
        if cold.any():
            items = np.unique(events.items[targets][cold])
            yield DataProblem(
                "warning",
                "cold",
                f"{_share(cold)} of the {split} targets are items that no training event has ({len(items):,} items): "
                "no model that learns from events alone can find them. They count as missed.",
                first_ids([events.item_ids[item] for item in items]),
            )
    if parted.words["split"] == "time":
        users = np.unique(events.users[(parts == TEST) | (parts == VAL)])
        strangers = users[~parted.known()[users]]
        if len(strangers):
            yield DataProblem(
                "warning",
                "cold",
                f"{len(strangers):,} of {len(users):,} users of the held-out time have no training event. Those "
                "without any earlier event are not judged.",
                first_ids([events.user_ids[user] for user in strangers]),
            )


def _leaks(parted: Parted) -> Iterator[DataProblem]:
    times, parts = parted.events.times, parted.parts
    learnt, test = times[(parts == TRAIN) | (parts == CONTEXT)], times[parts == TEST]
    if not len(test) or not len(learnt):
        return
    later = test < learnt.max()
    if later.any():
        # How much of what training saw was still to come when the median target happened.
        future = float((learnt > np.median(test)).mean())
        yield DataProblem(
            "warning",
            "leak",
            f"{_share(later)} of the test targets are older than the newest training event, and {percent(future)} of "
            f"the training events are newer than the median target: split: {parted.words['split']} lets a model know "
            "trends before they happen. Its scores compare with others of this protocol; for a forecast set "
            "data.split=time.",
        )


def _untitled(histories: Histories) -> Iterator[DataProblem]:
    untitled = [item for item, title in zip(histories.items, histories.titles, strict=False) if not title]
    if untitled:
        yield DataProblem(
            "warning",
            "title",
            f"{len(untitled):,} of {len(histories.items):,} items have no title; their ids must do.",
            first_ids(untitled),
        )


def _skew(events: Events) -> Iterator[DataProblem]:
    counts = np.sort(np.bincount(events.items))[::-1]
    top = max(1, round(len(counts) / 100))
    share = counts[:top].sum() / counts.sum()
    if (uneven := gini(counts)) > UNEVEN:
        yield DataProblem(
            "warning",
            "skew",
            f"The {top:,} most popular of {len(counts):,} items (1 %) have {percent(share)} of the events; the Gini "
            f"coefficient is {uneven:.2f}. A list of what is popular is hard to beat: compare with "
            "model.name=recsys.popular.",
        )


def _active(events: Events) -> Iterator[DataProblem]:
    counts = np.bincount(events.users)
    median = float(np.median(counts))
    active = np.flatnonzero(counts > ACTIVE * median)
    if len(active):
        ranked = active[np.argsort(-counts[active], kind="stable")]
        yield DataProblem(
            "warning",
            "active",
            f"{len(active):,} users have more than {ACTIVE} times the events of the median user ({median:g}), the most "
            f"{counts.max():,}; together {percent(counts[active].sum() / len(events))} of all. "
            "Look whether they are people.",
            first_ids([events.user_ids[user] for user in ranked]),
        )


def _zeros(events: Events) -> Iterator[DataProblem]:
    ratings = events.ratings
    if ratings is None:
        return
    zero = ratings == 0
    if zero.any() and ratings[~zero].min(initial=np.inf) >= 1:
        yield DataProblem(
            "warning",
            "rating",
            f"{_share(zero)} of the ratings are 0 and all others 1 or more. In many logs 0 says that nothing was "
            "rated. If so, take these rows out.",
            _rows(events, zero),
        )


def _share(which: NDArray[np.bool_]) -> str:
    return percent(float(which.mean()))


def _rows(events: Events, which: NDArray[np.bool_]) -> tuple[str, ...]:
    return first_ids([f"row {row + 1}" for row in np.sort(events.rows[which])[:10]])
