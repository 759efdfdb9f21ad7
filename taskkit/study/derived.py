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
from itertools import chain
from pathlib import Path
from typing import Any

import scipy  # which imports scipy.stats, of half a second, when it is asked for first

from taskkit.compare.declared import read_back
from taskkit.compare.intervals import intervals
from taskkit.compare.protocol import between
from taskkit.compare.resampling import LEVEL
from taskkit.compare.rows import Rows
from taskkit.contracts.component import Component
from taskkit.contracts.statistics import Mean, Statistic
from taskkit.errors import TaskkitError
from taskkit.runs import manifest
from taskkit.runs.manifest import Cost, Derived, Interval, Manifest, Protocol
from taskkit.runs.record import Record, now, write_atomically
from taskkit.runs.rows import read_rows
from taskkit.runs.study import DerivedRecord
from taskkit.study.asked import splits_of
from taskkit.wording import shown

CORRECTED = "corrected t (Nadeau and Bengio)"

WHOLE = 1e-3
"""By so much probabilities that were rounded may miss one."""

Row = dict[str, Any]


def pooled(study: Path, name: str, folds: Sequence[str], components: Iterable[Component]) -> DerivedRecord:
    """Make one run of all folds of a method: their rows together, each from the network that did not train on it.

    Raises TaskkitError where a fold was not tested, or they are of different data or code.
    """
    said = [manifest.read(study / fold) for fold in folds]
    _tested(said, folds)
    first, *others = [_of_all_folds(each) for each in said]
    _refuse_others(name, folds, first, others)
    _refuse_other_code(name, folds, said)
    rows = [{**row, "fold": number} for number, fold in enumerate(folds) for row in _rows(study / fold)]
    rows.sort(key=lambda row: str(row["id"]))
    declared, all_rows = _statistics(first, components), Rows.of(rows)
    metrics = _metrics(said, declared, all_rows)
    names = {metric.removeprefix("test/"): value for metric, value in metrics.items()}
    drawn = intervals(all_rows, declared, names)
    found = {
        f"test/{metric}": _corrected(said, metric, value, declared.get(metric), drawn.get(metric), all_rows)
        for metric, value in names.items()
    }
    made = _manifest(said, study / name, "folds", [study / fold for fold in folds], first)
    return _write(study, name, folds, replace(made, metrics=metrics, intervals=found), rows)


def ensemble(study: Path, name: str, members: Sequence[str], components: Iterable[Component]) -> DerivedRecord:
    """Make one run of several: for each example the average of what they predict.

    Raises TaskkitError where they were not tested alike, or their predictions have no average.
    """
    said = [manifest.read(study / member) for member in members]
    first, *others = _tested(said, members)
    _refuse_others(name, members, first, others)
    rows = _averaged({member: {str(row["id"]): row for row in _rows(study / member)} for member in members}, name)
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


def _of_all_folds(said: Manifest) -> Protocol:
    """The protocol of a fold as that of all of them is."""
    protocol = said.protocol
    assert protocol is not None
    kept = {key: value for key, value in protocol.data_protocol.items() if key not in ("fold", "of")}
    return replace(protocol, splits=splits_of(protocol), data_protocol=kept)


def _refuse_other_code(name: str, folds: Sequence[str], said: Sequence[Manifest]) -> None:
    """Raise TaskkitError where a plugin was another in one fold than in the first."""
    first, *others = [{each["distribution"]: _code(each) for each in fold.plugins} for fold in said]
    for fold, other in zip(folds[1:], others, strict=True):
        for plugin in sorted({*first, *other}):
            if first.get(plugin) != other.get(plugin):
                raise TaskkitError(
                    f"{name}: its folds are of different code, and no estimate is made of them. {plugin} is "
                    f"{first.get(plugin, 'none')} in {folds[0]} and {other.get(plugin, 'none')} in {fold}. Run the "
                    "study in another directory: --out."
                )


def _code(plugin: Mapping[str, str]) -> str:
    """What tells the code of a plugin from other code, in words."""
    made_of = plugin.get("sha256") or plugin.get("record_sha256")
    return plugin["version"] + (f" (sha256 {made_of.removeprefix('sha256:')[:12]})" if made_of else "")


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
    said: Sequence[Manifest], metric: str, value: float, statistic: Statistic | None, drawn: Interval | None, rows: Rows
) -> Interval:
    """The interval of Nadeau and Bengio (2003): folds share training examples, so that they differ too little."""
    found, folds = [each.metrics[f"test/{metric}"] for each in said], len(said)
    spread = statistics.stdev(found)
    if not spread or not all(map(math.isfinite, found)):
        return Interval(value, None, None, "none", len(rows), LEVEL, note="all folds have the same value")
    trained = statistics.fmean(_size(each, "train") for each in said)
    half = spread * math.sqrt(1 / folds + len(rows) / folds / trained)
    half *= float(scipy.stats.t.ppf((1 + LEVEL) / 2, folds - 1))
    low, high = value - half, value + half
    # Student's interval does not know where a metric ends.
    if _is_share(rows, statistic):
        low, high = max(0.0, low), min(1.0, high)
    elif statistic is not None and statistic.ideal is not None:
        end = min if value <= statistic.ideal else max
        low, high = end(low, statistic.ideal), end(high, statistic.ideal)
    note = f"{folds} folds, from {min(found):.4g} to {max(found):.4g}"
    if drawn is not None and drawn.low is not None and drawn.high is not None:
        note += (
            f"; of the examples alone, these networks as they are: {drawn.low:.4f}–{drawn.high:.4f} ({drawn.method})"
        )
    return Interval(value, low, high, CORRECTED, len(rows), LEVEL, note=note)


def _is_share(rows: Rows, statistic: Statistic | None) -> bool:
    """Whether a metric is the share of examples of which something holds."""
    if not isinstance(statistic, Mean) or rows.lacks(statistic):
        return False
    return {*rows.columns[statistic.column].astype(float).tolist()} <= {0.0, 1.0}


def _size(said: Manifest, split: str) -> int:
    return (said.data.sizes.get(split) if said.data is not None else None) or 1


# Averages.


def _averaged(members: Mapping[str, Mapping[str, Row]], name: str) -> list[Row]:
    first_name, *_ = members
    first = members[first_name]
    for member, rows in members.items():
        if rows.keys() != first.keys():
            raise TaskkitError(f"{name}: its members were not tested on the same examples, so nothing can be averaged.")
        if other := next((example for example in first if not _same_target(first[example], rows[example])), None):
            raise TaskkitError(
                f"{name}: the target of {other!r} is {shown(first[other].get('target'))} in {first_name} and "
                f"{shown(rows[other].get('target'))} in {member}, so nothing can be averaged."
            )
    columns = {*next(iter(first.values()))}
    if {"correct", "cross_entropy", "probability", "top"} <= columns:
        average = _average_of_classes
        if cut := next((each for each in members if not _names_all(members[each].values())), None):
            raise TaskkitError(
                f"{name}: {cut} kept the probabilities of its first classes alone, and averages need all of them. Set "
                "task.top_k to the number of classes, and run the study in another directory."
            )
    elif {"squared_error", "absolute_error", "prediction"} <= columns:
        average = _average_of_numbers
    else:
        raise TaskkitError(
            f"{name}: what these runs predict has no average: probabilities of classes or numbers were expected. Leave "
            "ensemble out."
        )
    return [average([rows[example] for rows in members.values()]) for example in first]


def _same_target(one: Row, other: Row) -> bool:
    first, second = one.get("target"), other.get("target")
    return first == second or (first != first and second != second)


def _names_all(rows: Iterable[Row]) -> bool:
    """Whether each row has the probabilities of all classes: they add up to one, and no class is beyond the first."""
    return all(
        not any(_is_top(column) for column in row) and abs(1 - sum(json.loads(row["top"]).values())) < WHOLE
        for row in rows
    )


def _average_of_classes(rows: Sequence[Row]) -> Row:
    """The mean of the probabilities of all classes."""
    target, tops = rows[0]["target"], [json.loads(row["top"]) for row in rows]
    means = {each: statistics.fmean(top.get(each, 0.0) for top in tops) for each in sorted({*chain(*tops)})}
    order = sorted(means, key=lambda each: -means[each])
    kept: Row = {name: rows[0][name] for name in ("id", "group", "target") if name in rows[0]}
    return {
        **kept,
        "prediction": order[0],
        "probability": means[order[0]],
        "top": {each: means[each] for each in order},
        "correct": float(order[0] == target),
        # Of the logarithms: those of small probabilities are exact there.
        "cross_entropy": -_log_mean([-row["cross_entropy"] for row in rows]),
    }


def _log_mean(logarithms: Sequence[float]) -> float:
    most = max(logarithms)
    return most + math.log(statistics.fmean(math.exp(each - most) for each in logarithms))


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


def _tested(said: Sequence[Manifest], names: Sequence[str]) -> list[Protocol]:
    """The protocol of each; raises TaskkitError where one was not tested."""
    found = list[Protocol]()
    for each, name in zip(said, names, strict=True):
        if each.protocol is None or not each.metrics:
            raise TaskkitError(f"{name}: it was never tested ({each.status}), and nothing can be made of it.")
        found.append(each.protocol)
    return found


def _refuse_others(name: str, members: Sequence[str], first: Protocol, others: Sequence[Protocol]) -> None:
    """Raise TaskkitError, which says what differs, where a member has another protocol than the first."""
    for member, other in zip(members[1:], others, strict=True):
        if differs := between(first, other, first.headline[0], other.headline[0]):
            raise TaskkitError(
                f"{name}: {members[0]} and {member} were not tested alike, and nothing is made of them together. They "
                f"differ in {'; '.join(differs)}."
            )


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
