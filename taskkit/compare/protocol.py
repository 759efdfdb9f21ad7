"""Which numbers may stand side by side: those of one test, measured in one way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from taskkit.compare.reading import Tested
from taskkit.runs.manifest import Protocol
from taskkit.runs.scrub import ENOUGH
from taskkit.wording import shown


def differing(one: Tested, other: Tested) -> list[str]:
    """What makes two runs' numbers incomparable, in words; empty when nothing does."""
    return between(one.protocol, other.protocol, one.metric, other.metric) or _examples(one, other)


def between(first: Protocol, second: Protocol, one: str, other: str) -> list[str]:
    """What two protocols differ in, judged by a metric of each, in words; empty when in nothing."""
    plain = {
        "task": (first.task, second.task),
        "metric": (one, other),
        "test data and splits": (f"{first.data} {first.splits}", f"{second.data} {second.splits}"),
        f"definition of {one}": (first.metrics.get(one), second.metrics.get(other)),
    }
    said = [f"{what}: {_short(left)} and {_short(right)}" for what, (left, right) in plain.items() if left != right]
    said += _mappings("", first.task_protocol, second.task_protocol)
    said += _mappings("", first.data_protocol, second.data_protocol)
    if first.statistics and second.statistics:
        statistics = (first.statistics.get(one, {}), second.statistics.get(other, {}))
        said += _mappings(f"{one} follows from ", *statistics)
    return said


def _examples(one: Tested, other: Tested) -> list[str]:
    """How the tested examples differ, though the data are the same: a test may have been cut short."""
    if one.rows is None or other.rows is None:
        return []
    if len(one.rows) != len(other.rows):
        return [f"tested examples: {len(one.rows):,} and {len(other.rows):,}"]
    if (one.scrubbed, other.scrubbed) != (None, None):
        if not one.examples or one.examples != other.examples:
            return [f"tested examples: of {_scrubbed(one, other)} the ids were scrubbed, and {_why(one, other)}"]
    elif one.rows.ids != other.rows.ids:
        first = next(i for i, ids in enumerate(zip(one.rows.ids, other.rows.ids, strict=True)) if ids[0] != ids[1])
        return [f"tested examples: {one.rows.ids[first]!r} and {other.rows.ids[first]!r} at place {first + 1}"]
    if not np.array_equal(one.rows.group, other.rows.group):
        return [f"groups of the examples: {one.rows.groups:,} and {other.rows.groups:,}, or others"]
    return []


def _scrubbed(one: Tested, other: Tested) -> str:
    return " and ".join(str(run.path) for run in (one, other) if run.scrubbed is not None)


def _why(one: Tested, other: Tested) -> str:
    if one.examples and other.examples:
        return "they were others, or in another order"
    return f"fewer than {ENOUGH} cannot be told from others"


def _mappings(what: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys([*one, *other]):
        if one.get(key) != other.get(key):
            yield f"{what}{key}: {_short(one.get(key))} and {_short(other.get(key))}"


def _short(value: Any) -> str:
    return shown(value) if value is not None else "not stated"
