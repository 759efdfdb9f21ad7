"""What is about to be trained on what: for the record of a run, and for a person."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict

from taskkit.batches.code import code_of
from taskkit.batches.loader import Loader
from taskkit.compare import declared
from taskkit.contracts.component import Direction
from taskkit.contracts.data import DataModule
from taskkit.data.quality import NAMED, find_missing_splits
from taskkit.engine.build import Built
from taskkit.engine.judge import statistics_of
from taskkit.engine.loaders import Loaders
from taskkit.runs.manifest import DataRecord, Protocol
from taskkit.wording import percent, some

Sizes = Mapping[str, int | None]
"""Examples of each split; None: a stream, which nobody counted."""
Flagged = Mapping[str, Mapping[str, list[str]]]
"""By split and flag: the ids of the examples that have it."""


def sizes_of(loaders: Loaders) -> Sizes:
    """How many examples each split has."""
    return {split: len(loader.encoded.ids) if isinstance(loader, Loader) else None for split, loader in loaders.items()}


def flagged_in(loaders: Loaders) -> Flagged:
    """The examples that a processor has marked, as cut or otherwise."""
    return {split: loader.encoded.flagged() for split, loader in loaders.items() if isinstance(loader, Loader)}


def in_words(built: Built, loaders: Loaders, sizes: Sizes, flagged: Flagged) -> Iterator[str]:
    """What a person reads before training: the parts, how large they are, and what was found in the data."""
    r = built.recipe
    yield f"{r.title or r.model.name}: {r.task.name}, {r.model.name}, {r.data.name}, seed {r.seed}"
    counts = ", ".join(f"{'a stream of' if n is None else format(n, ',')} {split}" for split, n in sizes.items())
    yield f"{parameters_of(built):,} parameters; {counts}"
    for problem in find_missing_splits(loaders):
        yield problem.message
    for split, found in flagged.items():
        for flag, ids in found.items():
            total = sizes[split] or 1
            yield f"{len(ids):,} of {total:,} {split} examples ({percent(len(ids) / total)}): {flag} ({some(ids)})"


def parameters_of(built: Built) -> int:
    """How many weights the task and its network have."""
    return sum(p.numel() for p in built.task.parameters())


def data_record(built: Built, sizes: Sizes, flagged: Flagged, *, named: bool = True) -> DataRecord:
    """What run.json says of the data; without `named` no id of an example is in it."""
    return DataRecord(
        name=built.recipe.data.name,
        fingerprint=built.spec.fingerprint,
        sizes=sizes,
        flagged={
            split: {flag: {"count": len(ids), "examples": ids[:NAMED] if named else []} for flag, ids in found.items()}
            for split, found in flagged.items()
            if found
        },
        origins=tuple(asdict(origin) for origin in (*built.spec.origins, *built.origins)),
    )


def protocol(built: Built) -> Protocol:
    """What makes this run comparable to others."""
    recipe, task = built.recipe, built.task
    return Protocol(
        task=recipe.task.name,
        data=recipe.data.name,
        splits=built.spec.fingerprint,
        headline=(task.headline.metric, task.headline.direction),
        metrics={name: type(metric).__name__ for name, metric in task.metrics().items()},
        task_protocol=dict(task.protocol()),
        data_protocol=dict(built.spec.protocol),
        statistics={
            name: declared.written(statistic, _direction(built, name))
            for name, statistic in statistics_of(task, recipe.task).items()
        },
    )


def code(built: Built, data: DataModule) -> dict[str, str | None]:
    """A hash of the code of each component, its package and what that has open to be edited; None: unreadable."""
    classes = {"task": type(built.task), "model": type(built.model), "data": type(data)}
    codes = {kind: code_of(each) for kind, each in classes.items()}
    return {
        kind: None if found is None else hashlib.sha256(repr(sorted(found.files.items())).encode()).hexdigest()
        for kind, found in codes.items()
    }


def _direction(built: Built, metric: str) -> Direction | None:
    headline = built.task.headline
    return headline.direction if metric == headline.metric else built.recipe.task.component.direction(metric)
