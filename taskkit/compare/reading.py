"""Finished runs as they are compared: which directories, which are seeds of one method, and the rows of their tests."""

from __future__ import annotations

import glob
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os.path import commonpath
from pathlib import Path
from typing import Any

from taskkit.compare.declared import NONE, read_back
from taskkit.compare.intervals import disagreement
from taskkit.compare.rows import Rows
from taskkit.contracts.component import Component, Direction
from taskkit.contracts.statistics import Statistic
from taskkit.errors import CheckpointError, TaskkitError
from taskkit.runs import manifest
from taskkit.runs.listing import runs_below
from taskkit.runs.manifest import Manifest, Protocol
from taskkit.runs.rows import read_rows
from taskkit.runs.scrub import fingerprint, mark_of
from taskkit.wording import did_you_mean, quoted

LISTED = 3
"""Of more runs that were never tested it is said how many there are."""
AGAIN = "run its recipe.yaml again"
_BEGAN = re.compile(r"(?<![^/])\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d_")
"""When a run began, in the name of its directory."""
_CHANGE = re.compile(r"[A-Za-z_.]+=.*?(?=_[A-Za-z_.]+=|$)")
"""A key and its value, in the name of a run's directory."""


@dataclass(frozen=True, eq=False)
class Tested:
    """A run that was tested, and one of its metrics."""

    path: Path
    manifest: Manifest
    protocol: Protocol
    metric: str
    """Without its split: `accuracy`."""
    direction: Direction | None
    """Which way it is better; None: neither."""
    statistic: Statistic | None
    rows: Rows | None
    """None: no test can be had of it."""
    lacking: str
    """Why not, in words; empty when there is nothing lacking."""
    scrubbed: str | None = None
    """What tells the ids that its predictions had; None: they have them."""

    @property
    def examples(self) -> str:
        """What tells the examples of its test from others, whether or not their ids are there; empty: not known."""
        if self.scrubbed is not None or self.rows is None:
            return self.scrubbed or ""
        return fingerprint(self.protocol.splits, self.rows.ids)

    @property
    def value(self) -> float:
        """The metric."""
        return self.manifest.metrics[f"test/{self.metric}"]

    @property
    def trivial(self) -> float | None:
        """The metric of the trivial predictor; None: not known."""
        return (self.manifest.baseline or {}).get(f"test/{self.metric}")

    @property
    def ideal(self) -> float | None:
        """The metric of a predictor without faults; None: not known."""
        return None if self.statistic is None else self.statistic.ideal


def find(words: Iterable[str]) -> tuple[list[Path], list[str]]:
    """The tested runs that words name, which are run directories, directories of runs or patterns; and who is left out.

    Raises CheckpointError for a word that names no run, or one run that was never tested.
    """
    found, left_out = dict[Path, None](), list[str]()
    for word in words:
        paths = [Path(word)] if Path(word).exists() else _matching(word)
        runs = [run for path in paths for run in runs_below(path)]
        if not runs:
            raise CheckpointError(
                f"{word}: there is no run. A run directory, a directory of runs or a pattern such as 'runs/vit/*' was "
                "expected."
            )
        untested = dict[Path, str]()
        for run in runs:
            said = manifest.read(run)
            if said.metrics and said.protocol is not None:
                found[run] = None
            elif len(runs) == 1:
                raise CheckpointError(
                    f"{run}: it was never tested ({said.status}). Finish it: taskkit run --resume {quoted(run)}"
                )
            else:
                untested[run] = said.status
        left_out += _left_out(word, untested)
    if not found:
        raise CheckpointError(f"{', '.join(words)}: none of the runs there was tested. Finish one first.")
    return [*found], left_out


def _left_out(word: str, untested: Mapping[Path, str]) -> list[str]:
    """Which runs were never tested; of many, as those of a search, how many."""
    if len(untested) <= LISTED:
        return [f"{run} is left out: it was never tested ({status})." for run, status in untested.items()]
    counts = Counter(untested.values())
    said = ", ".join(f"{count} {status}" for status, count in counts.items())
    return [f"{len(untested)} runs below {word} are left out: they were never tested ({said})."]


def read(path: Path, metric: str | None, components: Iterable[Component]) -> Tested:
    """A tested run with a metric, by default its headline; raises TaskkitError when it has no such metric."""
    said, components = manifest.read(path), [*components]
    protocol = said.protocol
    assert protocol is not None
    name = metric or protocol.headline[0]
    if f"test/{name}" not in said.metrics:
        known = [each.removeprefix("test/") for each in said.metrics]
        raise TaskkitError(
            f"{path}: it has no test metric {name!r}. One of {', '.join(sorted(known))} was expected."
            f"{did_you_mean(name, known)}"
        )
    declared = protocol.statistics.get(name)
    functions = {function for component in components for function in component.statistics}
    statistic = None if declared is None else read_back(declared, functions)
    rows, lacking, scrubbed = None, "", None
    if not protocol.statistics:
        lacking = f"an older taskkit wrote it, which did not keep how metrics follow from examples; {AGAIN}"
    elif declared is None:
        lacking = f"its task does not say how {name} follows from examples"
    elif declared.get("form") == NONE:
        lacking = f"{name} has no interval: {declared.get('reason')}"
    elif statistic is None:
        lacking = f"the plugin of {protocol.task}, with {declared.get('function')}, is not installed"
    else:
        rows, lacking, scrubbed = _rows(path, statistic, said.metrics[f"test/{name}"])
    direction = _direction(protocol, name, components)
    return Tested(path, said, protocol, name, direction, statistic, rows, lacking, scrubbed)


def value_of(run: Tested, key: str) -> Any:
    """The value of a key, such as `optim.lr`, in the recipe of a run; raises TaskkitError where it has none."""
    values = _flat(run.manifest.resolved)
    if key not in values:
        raise TaskkitError(
            f"{run.path}: its recipe has no value {key!r}. A key that all of them have was expected, such as optim.lr."
            f"{did_you_mean(key, values)}"
        )
    return values[key]


def curves(methods: Sequence[Sequence[Tested]], key: str) -> list[str]:
    """For each method the name that it shares with those whose recipes differ from its own in one key, and the seed."""
    rests = [_without(runs[0], "seed", key) for runs in methods]
    together = [
        [run for i, runs in enumerate(methods) if rests[i] == rest for run in runs] for rest in [*dict.fromkeys(rests)]
    ]
    named = dict(zip(dict.fromkeys(rests), names(together), strict=True))
    return [named[rest] for rest in rests]


def _without(run: Tested, *keys: str) -> str:
    """What a recipe and its splits are but for some keys, its title, how long it may be kept and what tracks it."""
    left_out = ("title", "privacy", "trackers")
    recipe = {name: value for name, value in run.manifest.resolved.items() if name not in left_out}
    values = {key: value for key, value in _flat(recipe).items() if key not in keys}
    return json.dumps([values, run.protocol.splits, _made_of(run)], sort_keys=True, default=str)


def _made_of(run: Tested) -> list[str]:
    """What tells a run that was made of others from those: folds, the members of an average, or how it is smaller."""
    derived, small = run.manifest.derived, run.manifest.compressed
    if small is not None:
        return ["compressed", json.dumps(dict(small.settings), sort_keys=True)]
    if derived is None:
        return []
    return [derived.kind, *(derived.members if derived.kind == "ensemble" else ())]


def _flat(recipe: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """The values of a recipe by their dotted keys."""
    values: dict[str, Any] = {}
    for key, value in recipe.items():
        values |= _flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return values


def methods(runs: Sequence[Tested]) -> list[list[Tested]]:
    """Runs of one recipe that differ in their seed alone, together; a seed that was run twice is a method each time.

    What they are called, how long they may be kept and what tracks them makes no method of them.
    """
    together: dict[str, list[Tested]] = {}
    for run in runs:
        key = _without(run, "seed")
        while any(run.manifest.seed == other.manifest.seed for other in together.get(key, ())):
            key += " again"
        together.setdefault(key, []).append(run)
    return [*together.values()]


def names(methods: Sequence[Sequence[Tested]]) -> list[str]:
    """A short name for each method: what its paths have in common, without what all have and without needless times.

    One of several seeds has none of them in its name, which would be that of one run.
    """
    paths = [[run.path.absolute() for run in runs] for runs in methods]
    shared = Path(commonpath([path.parent for each in paths for path in each]))
    found = []
    for each, runs in zip(paths, methods, strict=True):
        parts = [path.relative_to(shared).parts for path in each]
        common = Path(*(same[0] for same in zip(*parts, strict=False) if len({*same}) == 1))
        found.append(common.as_posix() if common.parts else _named(Path(*parts[0]), runs))
    found = [
        name if found.count(name) == 1 else _named(Path(paths[i][0]).relative_to(shared), methods[i])
        for i, name in enumerate(found)
    ]
    found = [
        name if found.count(name) == 1 else Path(paths[i][0]).relative_to(shared).as_posix()
        for i, name in enumerate(found)
    ]
    shorter = [_BEGAN.sub("", name) for name in found]
    return [short if short and shorter.count(short) == 1 else name for name, short in zip(found, shorter, strict=True)]


def _named(first: Path, runs: Sequence[Tested]) -> str:
    """The path of the first run, with what the names of all of them say alike; of one run as it is."""
    changes = [[each.lstrip("_") for each in _CHANGE.findall(_BEGAN.sub("", run.path.name))] for run in runs]
    if len(runs) == 1 or not all(changes):
        return first.as_posix()
    alike = [each for each in changes[0] if all(each in other for other in changes)]
    seeds = sorted({run.manifest.seed for run in runs})
    some = ",".join(map(str, seeds)) if len(seeds) < 4 else f"{seeds[0]}…{seeds[-1]}"
    return first.with_name("_".join(alike) or f"seeds={some}").as_posix()


def _matching(pattern: str) -> list[Path]:
    # Path.glob takes no absolute pattern.
    return sorted(map(Path, glob.glob(pattern, recursive=True)))  # noqa: PTH207


def _rows(path: Path, statistic: Statistic, value: float) -> tuple[Rows | None, str, str | None]:
    """The rows of a run's test, what they lack for a statistic, and the mark of those that were scrubbed."""
    from pyarrow import ArrowException

    file = path / "predictions.parquet"
    try:
        table = read_rows(file, ("id", "group", *statistic.columns))
    except (OSError, ArrowException) as error:
        return None, f"{file.name} cannot be read ({error}); {AGAIN}", None
    rows = Rows.of_columns({name: table[name].to_pylist() for name in table.column_names}, statistic.columns)
    lacking = rows.lacks(statistic) or disagreement(value, float(rows.values([statistic])[0]))
    return None if lacking else rows, lacking, mark_of(table.schema.metadata)


def _direction(protocol: Protocol, metric: str, components: Iterable[Component]) -> Direction | None:
    if metric == protocol.headline[0]:
        return "max" if protocol.headline[1] == "max" else "min"
    if (said := protocol.statistics.get(metric, {}).get("direction")) in ("max", "min"):
        return "max" if said == "max" else "min"
    tasks = (component for component in components if component.kind == "task" and component.name == protocol.task)
    return next((task.direction(metric) for task in tasks), None)
