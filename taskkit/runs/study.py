"""What study.json says of many runs from one file, typed and versioned: read once, replaced as a whole."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from taskkit.errors import CheckpointError, TaskkitError
from taskkit.runs.lock import is_free
from taskkit.runs.manifest import Process
from taskkit.wording import shown

SCHEMA = 1
FILE = "study.json"
LOCK = ".study.lock"

CellStatus = Literal["waiting", "running", "stopped", "finished", "failed", "pruned"]
StudyStatus = Literal["running", "stopped", "finished", "failed"]


@dataclass(frozen=True)
class TrialRecord:
    """What a search knows of one of its runs."""

    number: int
    """Counted from 0."""
    value: float | None = None
    """The best validation; None: there was none."""
    curve: tuple[tuple[int, float], ...] = ()
    """Steps, and the validation after each."""
    kept: Mapping[str, float] = field(default_factory=dict)
    """What the pruner remembers of it."""


@dataclass(frozen=True)
class SearchRecord:
    """A search for the values of one recipe, which never asks a test split."""

    recipe: str
    settings: Mapping[str, Any]
    """The section of the study file."""
    metric: str = ""
    """A metric of validation, such as `val/accuracy`; empty: not known yet."""
    mode: str = ""
    """`max` or `min`."""
    start: float | None = None
    """The validation of the recipe as it is; None: no trial has its values."""
    best: str | None = None
    """The trial that was chosen, once all have ended."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """What was chosen, by dotted key."""


@dataclass(frozen=True)
class CellRecord:
    """What is known of one run of a study."""

    name: str
    """Its directory, relative to that of the study: `mlp/seed=1`."""
    recipe: str
    """What the study calls the recipe."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """What the study set in it, by dotted key."""
    status: CellStatus = "waiting"
    reason: str | None = None
    """Why it failed or stopped."""
    metric: str = ""
    """The headline of its task."""
    score: float | None = None
    """That of the test."""
    seconds: float | None = None
    """Of training."""
    trial: TrialRecord | None = None
    """Of a run of a search, which is never tested."""


@dataclass(frozen=True)
class DerivedRecord:
    """A run that was made of others of the study: the estimate of all folds, or an ensemble."""

    name: str
    kind: str
    """`folds` or `ensemble`."""
    members: tuple[str, ...]
    """The names of the cells that it was made of."""
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    method: str = ""
    """What the interval is."""


@dataclass(frozen=True)
class Asked:
    """How often the runs of a study asked one test split."""

    data: str
    splits: str
    """The fingerprint of the data and their splits."""
    metric: str
    """The headline of the task that was judged."""
    times: int
    methods: int
    """Runs that differ in their seed alone are one method."""
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class StudyRecord:
    """What study.json says."""

    title: str
    file: str
    """The study file."""
    sha256: str
    """Of its bytes."""
    status: StudyStatus = "running"
    process: Process | None = None
    started: str = ""
    ended: str | None = None
    cells: tuple[CellRecord, ...] = ()
    searches: tuple[SearchRecord, ...] = ()
    derived: tuple[DerivedRecord, ...] = ()
    tests: tuple[Asked, ...] = ()
    schema: int = SCHEMA

    def to_json(self) -> str:
        """The text of study.json."""
        plain = dataclasses.asdict(self)
        first = {name: plain.pop(name) for name in ("schema", "title", "status")}
        return json.dumps({**first, **plain}, indent=2, default=str)


_PARTS: Mapping[str, type] = {"cells": CellRecord, "searches": SearchRecord, "derived": DerivedRecord, "tests": Asked}


def read(directory: Path) -> StudyRecord:
    """Read a study's record; raises CheckpointError where there is none that can be read."""
    path = directory / FILE
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        raise CheckpointError(
            f"{directory}: no {FILE} here. The directory of a study was expected, such as `taskkit study` prints."
        ) from None
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}). The record of a study was expected.") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: damaged: it holds {shown(found)}. A JSON object was expected.")
    if found.get("schema") != SCHEMA:
        raise CheckpointError(
            f"{path}: schema {found.get('schema')!r}; this taskkit reads {SCHEMA}. Use the taskkit version that wrote "
            "it."
        )
    try:
        return _record(found)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise CheckpointError(f"{path}: damaged ({error}). The record of a study was expected.") from None


def around(run: Path) -> Path | None:
    """The directory of the study that a run belongs to; None: it is of none."""
    return next((folder for folder in run.absolute().parents if (folder / FILE).is_file()), None)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Let no other process conduct this study meanwhile; raises TaskkitError, which names the one that does."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / LOCK).open("a")
    except OSError as error:
        raise TaskkitError(
            f"{directory}: no study can be made there ({error.strerror}). Name another place with --out."
        ) from error
    with file:
        free, conductor = is_free(file), _conductor(directory)
        if not free or (conductor is not None and conductor.pid != os.getpid()):
            who = "" if conductor is None else f", as process {conductor.pid} on {conductor.host}"
            raise TaskkitError(f"{directory}: this study is still going on{who}. Stop that first.")
        yield


def _conductor(directory: Path) -> Process | None:
    """The process that conducts a study, where it is there."""
    try:
        found = read(directory)
    except CheckpointError:
        return None
    there = found.status == "running" and found.process is not None and found.process.is_there
    return found.process if there else None


def _record(found: Mapping[str, Any]) -> StudyRecord:
    if found["status"] not in get_args(StudyStatus):
        raise ValueError(f"its status is {found['status']!r}")
    values = {name: value for name, value in found.items() if name in _names(StudyRecord)}
    for name, part in _PARTS.items():
        values[name] = tuple(_part(part, each) for each in values.get(name, ()))
    if values.get("process") is not None:
        values["process"] = _part(Process, values["process"])
    return StudyRecord(**values)


def _part(part: type, found: Mapping[str, Any]) -> Any:
    values = {name: _tuples(value) for name, value in dict(found).items() if name in _names(part)}
    if part is CellRecord and values.get("trial") is not None:
        values["trial"] = _part(TrialRecord, values["trial"])
    return part(**values)


def _names(part: type) -> set[str]:
    return {each.name for each in dataclasses.fields(part)}


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
