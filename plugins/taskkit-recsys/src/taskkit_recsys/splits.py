"""How a log is split: by each user's last events, by time for all, or by users."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskkit import DataError, Split, by_share
from taskkit_recsys import sections
from taskkit_recsys.events import Events, Numbers
from taskkit_recsys.times import iso, moment

log = logging.getLogger("taskkit")

TRAIN, CONTEXT, VAL, TEST = range(4)
"""What an event is for, in the order in which each user's events have it; a CONTEXT event is input alone."""
FEWEST = 3
"""Events that a user needs before leave-one-out judges them: one to train on, one to validate, one to test."""


@dataclass(frozen=True)
class Spans:
    """For each judged or learnt history where it lies among the events: `first` to `last`, its target up to `end`."""

    users: Numbers
    first: Numbers
    last: Numbers
    end: Numbers


@dataclass(frozen=True)
class Parted:
    """Events in order, and what each is for."""

    events: Events
    parts: NDArray[np.int8]
    words: Mapping[str, Any]
    """The protocol of the split."""

    def spans(self, split: Split) -> Spans:
        """The histories of a split that have something to learn from, or something before what is asked for."""
        count = len(self.events.user_ids)
        of = np.stack([np.bincount(self.events.users[self.parts == part], minlength=count) for part in range(4)])
        start = np.cumsum(of.sum(0)) - of.sum(0)
        before, targets = {
            "train": (of[TRAIN], of[TRAIN]),
            "val": (of[TRAIN] + of[CONTEXT], of[VAL]),
            "test": (of[TRAIN] + of[CONTEXT] + of[VAL], of[TEST]),
        }[split]
        users = np.flatnonzero((before > 0) & (targets > 0))
        last = (start + before)[users]
        return Spans(users, start[users], last, last if split == "train" else last + targets[users])

    def known(self) -> NDArray[np.bool_]:
        """Which users have an event to train on."""
        return np.bincount(self.events.users[self.parts == TRAIN], minlength=len(self.events.user_ids)) > 0


def part(events: Events, config: sections.Splitting) -> Parted:
    """Say what each event is for; the events must be in order. Raises DataError when a split is left without any."""
    parts, words = {"leave_one_out": _leave_one_out, "time": _by_time, "users": _by_users}[config.split](events, config)
    if not (parts == TRAIN).any():
        raise DataError(
            f"data.split: {config.split} leaves no event of {len(events):,} to train on. Change the shares or the "
            "dates, or give more events."
        )
    if not (parts == TEST).any():
        log.warning("%s split: no event is in the test split, so nothing will be tested", config.split)
    for kind, count in words.items():
        if isinstance(count, int) and count:
            log.info("%s split: %s %s", config.split, f"{count:,}", kind)
    return Parted(events, parts, {"split": config.split, **words})


def _leave_one_out(events: Events, config: sections.Splitting) -> tuple[NDArray[np.int8], Mapping[str, Any]]:
    counts = np.bincount(events.users, minlength=len(events.user_ids))
    ends = np.cumsum(counts)
    judged = counts >= FEWEST
    parts = np.full(len(events), TRAIN, np.int8)
    parts[ends[judged] - 1] = TEST
    parts[ends[judged] - 2] = VAL
    few = int((~judged).sum())
    return parts, {
        "held out": "each user's last event to test, the one before to validate; in a test it is part of the history",
        f"users of fewer than {FEWEST} events train only": few,
    }


def _by_time(events: Events, config: sections.Splitting) -> tuple[NDArray[np.int8], Mapping[str, Any]]:
    val, test = cuts(events.times, config)
    parts = np.full(len(events), TRAIN, np.int8)
    parts[events.times >= val] = VAL
    parts[events.times >= test] = TEST
    if config.test_from and not (parts == TEST).any():
        raise DataError(
            f"data.split: time: no event is as late as {iso(test)}, where the test split begins; the last is of "
            f"{iso(events.times.max())}. Set an earlier data.test_from, or leave it out for a share."
        )
    first = np.full(len(events.user_ids), TEST, np.int8)
    np.minimum.at(first, events.users, parts)
    cold = int((first == VAL).sum() + (first == TEST).sum())
    return parts, {
        "val_from": iso(val),
        "test_from": iso(test),
        "users without an event to train on; they are judged only where they have an earlier one": cold,
    }


def cuts(times: NDArray[np.float64], config: sections.Splitting) -> tuple[float, float]:
    """When the validation and the test split begin; events of one moment are never parted."""
    ranked = np.sort(times)
    held = config.test_share
    test = moment(config.test_from, "data.test_from") if config.test_from else _latest(ranked, held)
    earlier = ranked[ranked < test]
    if config.val_from:
        return moment(config.val_from, "data.val_from"), test
    # A share of all events, of those that are left.
    return (_latest(earlier, config.val_share * len(ranked) / len(earlier)) if len(earlier) else test), test


def _latest(ranked: NDArray[np.float64], share: float) -> float:
    """The moment from which on there is at most about this share of the events."""
    position = len(ranked) - round(share * len(ranked))
    return float(ranked[position]) if position < len(ranked) else float(np.nextafter(ranked[-1], np.inf))


def _by_users(events: Events, config: sections.Splitting) -> tuple[NDArray[np.int8], Mapping[str, Any]]:
    codes: dict[Split, int] = {"train": TRAIN, "val": VAL, "test": TEST}
    split_of = np.array(
        [codes[by_share(user, config.val_share, config.test_share)] for user in events.user_ids], np.int8
    )
    counts = np.bincount(events.users, minlength=len(events.user_ids))
    single = (split_of != TRAIN) & (counts < 2)
    split_of[single] = TRAIN
    parts = np.where(split_of == TRAIN, TRAIN, CONTEXT).astype(np.int8)[events.users]
    held_out = np.flatnonzero(split_of != TRAIN)
    parts[np.cumsum(counts)[held_out] - 1] = split_of[held_out]
    return parts, {"users would be held out, but have one event and train only": int(single.sum())}
