"""How rows are measured: interleaved, paired with the raw loop, and only when they did the same work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from step_cost import drivers
from step_cost.drivers import Driver, Report, Work
from step_cost.figures import bootstrap, difference, middle, ratio

Say = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """A driver by the name that it has in results."""

    name: str
    says: str
    driver: Driver


RAW = Row("raw", "a loop written by hand", drivers.raw)
BARE = Row("bare", "Lightning, everything off, nothing logged", drivers.bare)
QUIET = Row("quiet", "Lightning's defaults without the bar, five `self.log`", drivers.quiet)
USUAL = Row("usual", "Lightning's defaults, five `self.log`", drivers.usual)
HUGGING_FACE = Row("hugging_face", "Hugging Face's Trainer, its defaults, the loss logged", drivers.hugging_face)
OURS = Row("taskkit", "`taskkit run`, five notes", drivers.ours)

CPU = (BARE, QUIET, USUAL, HUGGING_FACE, OURS)
COMPARED_WITH = (QUIET.name, USUAL.name, HUGGING_FACE.name)
"""Rows whose added time that of taskkit is divided by."""


def paired(work: Work, rows: Sequence[Row], *, rounds: int, steps: int, limit: float, say: Say) -> dict[str, Any]:
    """Measure microseconds a step, each row between two runs of the raw loop, in alternating order.

    `limit` bounds the difference between a row's losses and those of the raw loop.
    """
    raw = work.run(drivers.raw)
    expected, samples = raw["losses"], []
    gaps = dict.fromkeys((row.name for row in rows), 0.0)
    for number in range(rounds):
        before = _microseconds(work.run(drivers.raw), steps)
        for row in _alternating(rows, number):
            report = work.run(row.driver)
            after = _microseconds(work.run(drivers.raw), steps)
            gaps[row.name] = max(gaps[row.name], difference(report["losses"], expected, relative=False))
            us = _microseconds(report, steps)
            samples.append({"round": number, "row": row.name, "us": us, "raw_before": before, "raw_after": after})
            say(f"round {number + 1}/{rounds}  {row.name:8} {us:7.0f} µs  raw {before:.0f} and {after:.0f} µs")
            before = after
    return {"limit": limit, "rows": list(_paired_rows(rows, samples, gaps, limit)), "samples": samples}


def _paired_rows(
    rows: Sequence[Row], samples: Sequence[Mapping[str, Any]], gaps: Mapping[str, float], limit: float
) -> Iterator[dict[str, Any]]:
    raws = [value for sample in samples for value in (sample["raw_before"], sample["raw_after"])]
    yield {"row": RAW.name, "says": RAW.says, "us": middle(raws)}
    added = {
        row.name: [s["us"] - (s["raw_before"] + s["raw_after"]) / 2 for s in samples if s["row"] == row.name]
        for row in rows
    }
    for row in rows:
        found: dict[str, Any] = {"row": row.name, "says": row.says, "largest_difference": gaps[row.name]}
        if gaps[row.name] <= limit:
            found["us"] = middle([s["us"] for s in samples if s["row"] == row.name])
            found["added"] = bootstrap(middle, added[row.name])
            if row is OURS:
                others = [other for other in COMPARED_WITH if other in added and gaps[other] <= limit]
                found["share"] = {other: bootstrap(ratio, added[row.name], added[other]) for other in others}
        yield found


def _alternating(rows: Sequence[Row], number: int) -> Sequence[Row]:
    return rows if number % 2 == 0 else rows[::-1]


def _microseconds(report: Report, steps: int) -> float:
    return 1e6 * float(report["seconds"]) / steps
