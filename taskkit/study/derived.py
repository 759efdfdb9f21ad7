"""Runs that are made of others: the estimate of all folds together, and averages of what several predict.

Each is a run directory without checkpoints, whose rows are scored and compared as those of any test.
"""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import scipy  # which imports scipy.stats, of half a second, when it is asked for first

from taskkit.compare.declared import read_back
from taskkit.compare.intervals import intervals
from taskkit.compare.resampling import LEVEL
from taskkit.compare.rows import Rows
from taskkit.contracts.component import Component
from taskkit.contracts.statistics import Statistic
from taskkit.errors import TaskkitError
from taskkit.runs import manifest
from taskkit.runs.manifest import Cost, Derived, Interval, Manifest, Protocol
from taskkit.runs.record import Record, now, write_atomically
from taskkit.runs.rows import read_rows
from taskkit.runs.study import DerivedRecord
from taskkit.study.asked import splits_of

CORRECTED = "corrected t (Nadeau and Bengio)"

Row = dict[str, Any]


def pooled(study: Path, name: str, folds: Sequence[str], components: Iterable[Component]) -> DerivedRecord:
    """Make one run of all folds of a method: their rows together, each from the network that did not train on it.

    Raises TaskkitError where a fold was not tested.
    """
    said = [manifest.read(study / fold) for fold in folds]
    first = _tested(said, folds)
    rows = [{**row, "fold": number} for number, fold in enumerate(folds) for row in _rows(study / fold)]
    rows.sort(key=lambda row: str(row["id"]))
    kept = {key: value for key, value in first.data_protocol.items() if key not in ("fold", "of")}
    protocol = replace(first, splits=splits_of(first), data_protocol=kept)
    declared, all_rows = _statistics(protocol, components), Rows.of(rows)
    metrics = _metrics(said, declared, all_rows)
    names = {metric.removeprefix("test/"): value for metric, value in metrics.items()}
    drawn = intervals(all_rows, declared, names)
    found = {
        f"test/{metric}": _corrected(said, metric, value, declared.get(metric), drawn.get(metric), len(rows))
        for metric, value in names.items()
    }
    made = _manifest(said, study / name, "folds", [study / fold for fold in folds], protocol)
    return _write(study, name, folds, replace(made, metrics=metrics, intervals=found), rows)


def ensemble(study: Path, name: str, members: Sequence[str], components: Iterable[Component]) -> DerivedRecord:
    """Make one run of several: for each example the average of what they predict.

    Raises TaskkitError where they were not tested alike, or their predictions have no average.
    """
    said = [manifest.read(study / member) for member in members]
    first = _tested(said, members)
    rows = _averaged([{str(row["id"]): row for row in _rows(study / member)} for member in members], name)
    declared = {
        metric: statistic
        for metric, statistic in _statistics(first, components).items()
        if not Rows.of(rows).lacks(statistic)
    }
    all_rows = Rows.of(rows)
    values = dict(zip(declared, all_rows.values([*declared.values()]).tolist(), strict=True))
    if first.headline[0] not in values:
        raise TaskkitError(f"{name}: its headline {first.headline[0]} does not follow from averages of predictions.")
    found = {f"test/{metric}": each for metric, each in intervals(all_rows, declared, values).items()}
    made = _manifest(said, study / name, "ensemble", [study / member for member in members], first)
    metrics = {f"test/{metric}": float(value) for metric, value in values.items()}
    return _write(study, name, members, replace(made, metrics=metrics, intervals=found), rows)


# Folds.


def _metrics(said: Sequence[Manifest], declared: Mapping[str, Statistic], rows: Rows) -> dict[str, float]:
    """Each metric of all rows together, where it follows from them, else the mean over the folds."""
    common = [name for name in said[0].metrics if all(name in each.metrics for each in said)]
    found = {}
    for name in common:
        statistic = declared.get(name.removeprefix("test/"))
        alone = [each.metrics[name] for each in said]
        follows = statistic is not None and not rows.lacks(statistic)
        found[name] = float(rows.values([statistic])[0]) if follows and statistic else statistics.fmean(alone)
    return found


def _corrected(
    said: Sequence[Manifest], metric: str, value: float, statistic: Statistic | None, drawn: Interval | None, rows: int
) -> Interval:
    """The interval of Nadeau and Bengio (2003): folds share training examples, so that they differ too little."""
    found, folds = [each.metrics[f"test/{metric}"] for each in said], len(said)
    spread = statistics.stdev(found)
    if not spread or not all(map(math.isfinite, found)):
        return Interval(value, None, None, "none", rows, LEVEL, note="all folds have the same value")
    tested, trained = (statistics.fmean(_size(each, split) for each in said) for split in ("test", "train"))
    half = spread * math.sqrt(1 / folds + tested / trained)
    half *= float(scipy.stats.t.ppf((1 + LEVEL) / 2, folds - 1))
    low, high = value - half, value + half
    if statistic is not None and statistic.ideal is not None:
        # Student's interval does not know where a metric ends.
        end = min if value <= statistic.ideal else max
        low, high = end(low, statistic.ideal), end(high, statistic.ideal)
    note = f"{folds} folds, from {min(found):.4g} to {max(found):.4g}"
    if drawn is not None and drawn.low is not None and drawn.high is not None:
        note += (
            f"; of the examples alone, these networks as they are: {drawn.low:.4f}–{drawn.high:.4f} ({drawn.method})"
        )
    return Interval(value, low, high, CORRECTED, rows, LEVEL, note=note)


def _size(said: Manifest, split: str) -> int:
    return (said.data.sizes.get(split) if said.data is not None else None) or 1


# Averages.


def _averaged(members: Sequence[Mapping[str, Row]], name: str) -> list[Row]:
    first = members[0]
    if any(each.keys() != first.keys() for each in members):
        raise TaskkitError(f"{name}: its members were not tested on the same examples, so nothing can be averaged.")
    columns = {*next(iter(first.values()))}
    if {"correct", "cross_entropy", "probability", "top"} <= columns:
        average = _average_of_classes
    elif {"squared_error", "absolute_error", "prediction"} <= columns:
        average = _average_of_numbers
    else:
        raise TaskkitError(
            f"{name}: what these runs predict has no average: probabilities of classes or numbers were expected. Leave "
            "ensemble out."
        )
    return [average([each[example] for each in members]) for example in first]


def _average_of_classes(rows: Sequence[Row]) -> Row:
    """The mean of the probabilities; what a member leaves over for classes that it does not name is spread evenly."""
    target = rows[0]["target"]
    tops = [json.loads(row["top"]) for row in rows]
    classes = {*(each for top in tops for each in top), target}
    means = dict.fromkeys(sorted(classes), 0.0)
    for row, top in zip(rows, tops, strict=True):
        # The probability of the target is known, also where it is not among the first; of others it is no more than
        # that of the last that is named.
        known = {**top, target: math.exp(-row["cross_entropy"])}
        left = max(0.0, 1 - sum(known.values())) / max(1, len(means) - len(known))
        rest = min(left, *top.values())
        for each in means:
            means[each] += known.get(each, rest) / len(rows)
    order = sorted(means, key=lambda each: -means[each])
    k = len(tops[0])
    kept: Row = {name: rows[0][name] for name in ("id", "group", "target") if name in rows[0]}
    hits = {name: float(target in order[: int(name[3:-8])]) for name in rows[0] if _is_top(name)}
    return {
        **kept,
        "prediction": order[0],
        "probability": means[order[0]],
        "top": {each: means[each] for each in order[:k]},
        "correct": float(order[0] == target),
        **hits,
        "cross_entropy": -math.log(max(means[target], 1e-300)),
    }


def _is_top(name: str) -> bool:
    return name.startswith("top") and name.endswith("_correct") and name[3:-8].isdecimal()


def _average_of_numbers(rows: Sequence[Row]) -> Row:
    """The mean of the numbers, or of each of several."""
    target, predictions = _numbers(rows[0]["target"]), [_numbers(row["prediction"]) for row in rows]
    means = {name: statistics.fmean(each[name] for each in predictions) for name in target}
    errors = [means[name] - target[name] for name in target]
    alone = len(means) == 1
    kept: Row = {name: rows[0][name] for name in ("id", "group", "target") if name in rows[0]}
    return {
        **kept,
        "prediction": next(iter(means.values())) if alone else means,
        "squared_error": statistics.fmean(error**2 for error in errors),
        "absolute_error": statistics.fmean(abs(error) for error in errors),
    }


def _numbers(value: Any) -> dict[str, float]:
    found = json.loads(value) if isinstance(value, str) else value
    return {str(name): float(each) for name, each in found.items()} if isinstance(found, dict) else {"": float(found)}


# Both.


def _tested(said: Sequence[Manifest], names: Sequence[str]) -> Protocol:
    """The protocol of the first; raises TaskkitError where one was not tested."""
    for each, name in zip(said, names, strict=True):
        if each.protocol is None or not each.metrics:
            raise TaskkitError(f"{name}: it was never tested ({each.status}), and nothing can be made of it.")
    assert said[0].protocol is not None
    return said[0].protocol


def _rows(run: Path) -> list[Row]:
    rows: list[Row] = read_rows(run / "predictions.parquet").to_pylist()
    return rows


def _statistics(protocol: Protocol, components: Iterable[Component]) -> dict[str, Statistic]:
    functions = {function for component in components for function in component.statistics}
    found = {name: read_back(said, functions) for name, said in protocol.statistics.items()}
    return {name: statistic for name, statistic in found.items() if statistic is not None}


def _manifest(said: Sequence[Manifest], path: Path, kind: Any, members: Sequence[Path], protocol: Protocol) -> Manifest:
    """That of the first member, with what all of them have together; nothing of its own training."""
    first, seconds = said[0], [each.cost.train_seconds for each in said]
    known = [each for each in seconds if each is not None]
    parameters = first.cost.parameters
    several = kind == "ensemble" and parameters is not None
    loader = {**first.resolved.get("loader", {}), "fold": 0}
    common = [name for name in first.baseline or {} if all(name in (each.baseline or {}) for each in said)]
    return replace(
        first,
        id=path.name,
        resolved={**first.resolved, "loader": loader},
        status="finished",
        process=None,
        ended=now(),
        tested=None,
        stopped=None,
        checkpoints={},
        baseline={name: statistics.fmean((each.baseline or {})[name] for each in said) for name in common},
        protocol=protocol,
        cost=Cost(
            parameters=parameters * len(said) if several and parameters is not None else parameters,
            train_seconds=sum(known) if len(known) == len(said) else None,
        ),
        derived=Derived(kind, tuple(os.path.relpath(member, path) for member in members)),
    )


def _write(study: Path, name: str, members: Sequence[str], made: Manifest, rows: Sequence[Row]) -> DerivedRecord:
    path = study / name
    path.mkdir(parents=True, exist_ok=True)
    record = Record(path, made)
    record.rows("predictions", rows)
    # Last: a directory with a manifest is a whole run.
    write_atomically(path / manifest.FILE, made.to_json() + "\n")
    assert made.protocol is not None
    assert made.derived is not None
    metric = made.protocol.headline[0]
    value, interval = made.metrics[f"test/{metric}"], made.intervals.get(f"test/{metric}")
    low, high, method = (None, None, "") if interval is None else (interval.low, interval.high, interval.method)
    return DerivedRecord(name, made.derived.kind, tuple(members), metric, value, low, high, method)
