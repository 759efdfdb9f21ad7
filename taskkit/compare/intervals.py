"""An interval for each metric of a test: exact where a metric counts right answers, else by the bootstrap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import scipy  # which imports scipy.stats, of half a second, when it is asked for first

from taskkit.compare.resampling import LEVEL, affordable, bootstrap, scatter
from taskkit.compare.rows import Rows
from taskkit.contracts.statistics import Gaps, Mean, NoInterval, Statistic
from taskkit.runs.manifest import Interval

FEW = 30
"""Groups from which on bootstrap intervals cover about as often as they say: `make calibration` measures it."""
TOLERANCE = 1e-3
"""How far a metric may be from what its rows give, relatively: it may be summed in half precision."""


def intervals(
    rows: Rows, statistics: Mapping[str, Statistic | NoInterval], metrics: Mapping[str, float], level: float = LEVEL
) -> dict[str, Interval]:
    """The intervals of those metrics for which there is a statistic; one that cannot be had says why in its `note`."""
    wanted = {name: statistic for name, statistic in statistics.items() if name in metrics}
    there = {name: each for name, each in wanted.items() if not isinstance(each, NoInterval)}
    why = {name: each.reason for name, each in wanted.items() if isinstance(each, NoInterval)}
    why |= {name: rows.lacks(statistic) or _too_few(rows) for name, statistic in there.items()}
    usable = {name: statistic for name, statistic in there.items() if not why[name]}
    values = dict(zip(usable, rows.values([*usable.values()]).tolist(), strict=True)) if usable else {}
    why |= {name: disagreement(metrics[name], value) for name, value in values.items()}
    exact = {name: _exact(rows, s, level) for name, s in usable.items() if not why[name] and _binary(rows, s)}
    gaps = {
        name: _scattered(rows, s, values[name], level)
        for name, s in usable.items()
        if not why[name] and isinstance(s, Gaps)
    }
    rest = {name: s for name, s in usable.items() if not why[name] and name not in exact and name not in gaps}
    drawn = _resampled(rows, rest, level) if rest else {}
    none = {name: _none(rows, metrics[name], note, level) for name, note in why.items() if note}
    found = {**exact, **gaps, **drawn, **none}
    return {name: found[name] for name in wanted}


def in_words(interval: Interval) -> str:
    """An interval in one short line, or why there is none: `95 % 0.9468–0.9849`."""
    if interval.low is None or interval.high is None:
        return f"no interval: {interval.note}"
    groups = f", {interval.groups} groups" if interval.groups is not None else ""
    return f"{interval.level:.0%} {interval.low:.4f}–{interval.high:.4f} ({interval.method}{groups})".replace(
        "%", " %", 1
    )


def binomial(right: int, trials: int, level: float, method: Literal["exact", "wilson"]) -> tuple[float, float]:
    """The interval of a share: of Clopper and Pearson (1934), or of Wilson (1927)."""
    found = scipy.stats.binomtest(right, trials).proportion_ci(level, method)
    return float(found.low), float(found.high)


def _too_few(rows: Rows) -> str:
    return "" if rows.groups > 1 else f"{len(rows)} example(s) in one group say nothing of others"


def disagreement(metric: float, value: float) -> str:
    """Why a metric is not what its rows give, `value`, in words; empty when it is."""
    if np.isclose(metric, value, rtol=TOLERANCE, atol=TOLERANCE / 10):
        return ""
    return f"the rows give {value:.6g} for it: the task's `statistics` are not how it follows from them"


def _binary(rows: Rows, statistic: Statistic) -> bool:
    """Whether the examples are independent and each is right or wrong; where all are alike, groups are counted."""
    # Of a mean of counts all values may be 0 or 1 by chance: what is said to be best at 0 may be one.
    if not isinstance(statistic, Mean):
        return False
    values = rows.columns[statistic.column].astype(float)
    if statistic.ideal not in (None, 1) and not bool((values == values[0]).all()):
        return False
    return bool(np.isin(values, (0, 1)).all()) and (not _grouped(rows) or bool((values == values[0]).all()))


def _exact(rows: Rows, statistic: Statistic, level: float) -> Interval:
    values = rows.columns[statistic.columns[0]].astype(float)
    # Of groups all are right or all are wrong, else they are resampled.
    right = round(values.mean() * rows.groups)
    low, high = binomial(right, rows.groups, level, "exact")
    return Interval(
        float(values.mean()),
        low,
        high,
        "exact binomial",
        len(rows),
        level,
        _groups(rows),
        wilson=binomial(right, rows.groups, level, "wilson"),
        note="every example has the same score: each group counts as one example" if _grouped(rows) else "",
    )


def _scattered(rows: Rows, statistic: Gaps, value: float, level: float) -> Interval:
    resamples = affordable(rows.groups)
    far = scatter(rows.gaps(statistic), rows.groups, level, resamples)
    few = f"of fewer than {FEW} groups it is too narrow" if rows.groups < FEW else ""
    low, high = _plain(max(value - far, 0.0)), _plain(value + far)
    return Interval(_plain(value), low, high, "scatter", len(rows), level, _groups(rows), resamples, note=few)


def _resampled(rows: Rows, statistics: Mapping[str, Statistic], level: float) -> dict[str, Interval]:
    found = bootstrap(rows.evaluate([*statistics.values()]), rows.groups, level)
    made = {}
    for i, name in enumerate(statistics):
        value, low, high = (_plain(side[i]) for side in (found.value, found.low, found.high))
        if not np.isfinite([low, high]).all():
            made[name] = _none(rows, value, "no two groups differ in it: resampling says nothing", level)
            continue
        notes = [
            *(
                []
                if low <= value <= high
                else ["the metric lies outside: resampling moves it, as it does what is biased"]
            ),
            *([f"of fewer than {FEW} groups it is too narrow"] if rows.groups < FEW else []),
        ]
        made[name] = Interval(
            value, low, high, found.method[i], len(rows), level, _groups(rows), found.resamples, note="; ".join(notes)
        )
    return made


def _plain(value: float) -> float:
    """Without the last digits, which are those of rounding."""
    return float(f"{value:.10g}")


def _none(rows: Rows, value: float, note: str, level: float) -> Interval:
    return Interval(value, None, None, "none", len(rows), level, _groups(rows), note=note)


def _grouped(rows: Rows) -> bool:
    return rows.groups < len(rows)


def _groups(rows: Rows) -> int | None:
    return rows.groups if _grouped(rows) else None
