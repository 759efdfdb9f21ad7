"""What run.json says of a run, typed and versioned: read once, passed on as a value, replaced as a whole."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args

import psutil

from taskkit.contracts.recipe import day
from taskkit.errors import CheckpointError, Failure
from taskkit.wording import shown

SCHEMA = 1
FILE = "run.json"

Status = Literal["running", "finished", "failed", "preempted"]


@dataclass(frozen=True)
class RecipeFiles:
    """Which recipe was run."""

    path: tuple[str, ...] = ()
    """The files, in the order in which they were merged."""
    title: str = ""
    sha256: str = ""
    """Of the bytes of the files, one after the other."""


@dataclass(frozen=True)
class Process:
    """The process that writes a run."""

    host: str
    pid: int
    began: float
    """Seconds since 1970, as the system counts them; tells it from a later process of the same number."""

    @classmethod
    def here(cls) -> Process:
        """This process."""
        return cls(socket.gethostname(), os.getpid(), psutil.Process().create_time())

    @property
    def is_there(self) -> bool | None:
        """Whether it goes on; None: it is of another machine, and nobody here knows."""
        if self.host != socket.gethostname():
            return None
        try:
            return psutil.Process(self.pid).create_time() == self.began
        except psutil.Error:
            return False


@dataclass(frozen=True)
class DataRecord:
    """What a run was trained and tested on."""

    name: str
    fingerprint: str
    sizes: Mapping[str, int | None] = field(default_factory=dict)
    """Examples in each split; None: a stream, which nobody counted."""
    flagged: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By split and flag, such as `truncated`: how many examples, and the ids of some."""
    origins: tuple[Mapping[str, Any], ...] = ()
    """Where data and pretrained weights came from: source, sha256, licence, citation."""


@dataclass(frozen=True)
class Protocol:
    """What makes two runs comparable."""

    task: str
    data: str
    splits: str
    """The fingerprint of the data and their splits."""
    headline: tuple[str, str]
    """The metric that the run is judged by, and its direction."""
    metrics: Mapping[str, str] = field(default_factory=dict)
    task_protocol: Mapping[str, Any] = field(default_factory=dict)
    data_protocol: Mapping[str, Any] = field(default_factory=dict)
    statistics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """How metrics follow from columns of predictions.parquet, by name, as `taskkit.compare.declared` writes it; empty
    in a run of an older taskkit."""


@dataclass(frozen=True)
class Interval:
    """What a metric may be on other examples like those of the test; for the network that was tested."""

    value: float
    """The metric itself."""
    low: float | None
    """None, as `high`: no interval can be had."""
    high: float | None
    method: str
    """`exact binomial` (Clopper and Pearson), `BCa` or `percentile` (bootstrap), `scatter` (of gaps), or `none`."""
    rows: int
    level: float = 0.95
    groups: int | None = None
    """Groups that were drawn together, as the utterances of a speaker; None: each example is its own."""
    resamples: int | None = None
    wilson: tuple[float, float] | None = None
    """Wilson's interval, beside an exact one, which is never narrower than its level."""
    note: str = ""
    """Why there is no interval, or another than usual."""


@dataclass(frozen=True)
class Inference:
    """How fast the tested network answers samples that are encoded already, one process on one device."""

    latency_ms: float
    """Milliseconds for one sample by itself; the median."""
    examples_per_second: float
    """In batches of evaluation."""
    batch_size: int
    """Samples in the largest of these."""
    calls: tuple[int, int]
    """How many of either kind were timed."""
    device: str


@dataclass(frozen=True)
class Energy:
    """What meters of the machine counted while a run was trained."""

    joules: float | None
    """None: it could not be measured."""
    meter: str = ""
    """`RAPL` or `NVML`; what two of them count is never put together."""
    parts: tuple[str, ...] = ()
    """Which packages, memories or devices."""
    note: str = ""
    """What else was counted with it, or why nothing was."""


@dataclass(frozen=True)
class Cost:
    """What a run cost; None: not measured, or not yet."""

    parameters: int | None = None
    train_seconds: float | None = None
    """Seconds spent training, without validation and test."""
    examples_per_second: float | None = None
    units: str | None = None
    units_per_second: float | None = None
    padding: float | None = None
    """The share of what the network computed on that was padding."""
    peak_memory_bytes: int | None = None
    flops_per_example: float | None = None
    mfu: float | None = None
    energy: Energy | None = None
    """Of training, without validation and test."""
    inference: Inference | None = None
    """None: not measured, as of a task that predicts nothing in its test."""


@dataclass(frozen=True)
class WeightsTested:
    """Which weights the test judged."""

    checkpoint: str
    """`best` or `last`."""
    step: int
    epoch: int
    """Counted from 0."""
    validation: float | None = None
    """The headline of the validation that chose them."""


@dataclass(frozen=True)
class Change:
    """What a run went on with otherwise than it began."""

    step: int
    """After which."""
    time: str
    values: Mapping[str, Any]
    """By dotted key."""


@dataclass(frozen=True)
class Attempts:
    """How often a run was taken up again without getting further."""

    step: int
    count: int


@dataclass(frozen=True)
class Derived:
    """What runs a run was made of that was not trained itself."""

    kind: Literal["folds", "ensemble"]
    """All folds of a cross-validation together, or the average of what several runs predict."""
    members: tuple[str, ...]
    """Their directories, relative to its own."""

    def where(self, path: Path) -> str:
        """One of them, of a run in this directory."""
        return os.path.normpath(path / self.members[0])


@dataclass(frozen=True)
class Compressed:
    """How a run's network was made smaller, and what that gave; measured for both in one process."""

    parent: str
    """The directory of the run that it was made of, relative to its own."""
    settings: Mapping[str, Any]
    """`quantise`, the form of its weights; `prune`, the share left out, `structured` and the share of `zeros`; or
    `distil`, the temperature and alpha by which another network learnt from it."""
    bytes_before: int | None = None
    """What the weights take in memory; None: not measured yet."""
    bytes_after: int | None = None
    inference_before: Inference | None = None
    inference_after: Inference | None = None

    def where(self, path: Path) -> str:
        """Its parent, of a run in this directory."""
        return os.path.normpath(path / self.parent)


@dataclass(frozen=True)
class Teacher:
    """The run whose answers a run learnt from, told by its weights wherever it lies now."""

    run: str
    """Its id."""
    sha256: str
    """Of its weights."""
    directory: str | None = None
    """Where it lay when the run began, relative to the run's own directory; None: an older taskkit wrote this."""

    def where(self, path: Path) -> str | None:
        """That directory, of a run in this one."""
        return None if self.directory is None else os.path.normpath(path / self.directory)


@dataclass(frozen=True)
class Manifest:
    """What run.json says; a key that is None there, or missing, is not known yet."""

    id: str
    status: Status
    resolved: Mapping[str, Any]
    """The whole recipe, as plain data."""
    reason: str | None = None
    """Why it failed or stopped."""
    failure: Failure | None = None
    """What kind of thing made it fail."""
    changes: tuple[Change, ...] = ()
    """What was changed in the midst of it, the first one first."""
    attempts: Attempts | None = None
    """How often it was taken up again at one step by itself; None: it got further, or a person did it."""
    command: str = ""
    recipe: RecipeFiles = RecipeFiles()
    seed: int = 0
    process: Process | None = None
    started: str | None = None
    ended: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Test metrics by name, such as `test/accuracy`."""
    baseline: Mapping[str, float] | None = None
    """The same metrics of the trivial predictor, as far as the task knows one."""
    tested: WeightsTested | None = None
    notes: tuple[str, ...] = ()
    """What stopped nothing and should be known, such as a tracker that failed."""
    stopped: str | None = None
    """Why training ended before its last step, where it did."""
    remarks: tuple[str, ...] = ()
    """What the task remarked on the test."""
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    """Of test metrics, by the same names."""
    protocol: Protocol | None = None
    data: DataRecord | None = None
    plugins: tuple[Mapping[str, str], ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    precision: str | None = None
    cost: Cost = Cost()
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    """`best` and `last`, relative to the directory."""
    derived: Derived | None = None
    """None: it was trained."""
    compressed: Compressed | None = None
    """None: its network is as it was trained."""
    teacher: Teacher | None = None
    """None: it learnt from no other run's answers."""
    scrubbed: tuple[Mapping[str, Any], ...] = ()
    """What was removed by `taskkit scrub`, call by call: when it `ended`, and what was `removed`."""
    schema: int = SCHEMA

    @property
    def retain_until(self) -> date | None:
        """The last day on which the run may be kept; None: its recipe names none."""
        privacy = self.resolved.get("privacy")
        named = privacy.get("retain_until") if isinstance(privacy, Mapping) else None
        return day(named) if isinstance(named, str) else None

    def to_json(self) -> str:
        """The text of run.json; what is not known is left out."""
        plain = {
            key: value
            for key, value in dataclasses.asdict(self).items()
            if value not in (None, {}, ()) or (key == "baseline" and value is not None)
        }
        if self.cost.train_seconds is None:
            plain["cost"] = {key: value for key, value in plain["cost"].items() if value is not None}
        first = {"schema": self.schema, "id": self.id, "status": self.status, "reason": self.reason}
        first["failure"] = self.failure
        first["stopped"] = self.stopped
        return json.dumps({**first, **plain, "ended": self.ended, "metrics": dict(self.metrics)}, indent=2, default=str)


_PARTS: Mapping[str, type] = {
    "recipe": RecipeFiles,
    "process": Process,
    "data": DataRecord,
    "protocol": Protocol,
    "cost": Cost,
    "tested": WeightsTested,
    "attempts": Attempts,
    "derived": Derived,
    "compressed": Compressed,
    "teacher": Teacher,
}


def read(directory: Path) -> Manifest:
    """Read a run's manifest; raises CheckpointError when there is none that can be read."""
    path = directory / FILE
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        lacking = f"no {FILE} here" if directory.exists() else "there is no such directory"
        raise CheckpointError(
            f"{directory}: {lacking}. A run directory was expected, such as `taskkit run` prints at its end."
            f"{_run_around(directory)}"
        ) from None
    except NotADirectoryError:
        raise CheckpointError(
            f"{directory}: this is a file. A run directory was expected.{_run_around(directory)}"
        ) from None
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}). A run's manifest was expected.") from None
    if not isinstance(found, dict):
        raise CheckpointError(
            f"{path}: damaged: it holds {shown(found)}. A JSON object was expected. Name another run."
        )
    if found.get("schema") != SCHEMA:
        raise CheckpointError(
            f"{path}: schema {found.get('schema')!r}; this taskkit reads {SCHEMA}. "
            "Use the taskkit version that wrote it."
        )
    try:
        return _manifest(found)
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: damaged ({error}). A run's manifest was expected.") from None


def _run_around(path: Path) -> str:
    """Which run a file belongs to, in words."""
    around = next((folder for folder in path.parents if (folder / FILE).is_file()), None)
    return f" Did you mean {str(around)!r}?" if around else ""


def _manifest(found: Mapping[str, Any]) -> Manifest:
    if found.get("status") not in get_args(Status):
        raise ValueError(f"its status is {found.get('status')!r}")
    values = {name: value for name, value in found.items() if name in _names(Manifest) and value is not None}
    for name, part in _PARTS.items():
        if name in values:
            values[name] = _part(part, values[name])
    cost = found.get("cost", {})
    if (inference := cost.get("inference")) is not None:
        values["cost"] = replace(values["cost"], inference=_part(Inference, inference))
    if (energy := cost.get("energy")) is not None:
        values["cost"] = replace(values["cost"], energy=_part(Energy, energy))
    if (small := values.get("compressed")) is not None:
        timed = {
            name: None if (each := getattr(small, name)) is None else _part(Inference, each)
            for name in ("inference_before", "inference_after")
        }
        values["compressed"] = replace(small, **timed)
    values["intervals"] = {name: _part(Interval, each) for name, each in values.get("intervals", {}).items()}
    if "protocol" in values and not all(
        isinstance(each, dict) for each in dict(values["protocol"].statistics).values()
    ):
        raise ValueError("a statistic of its protocol is no mapping")
    values["changes"] = tuple(_part(Change, each) for each in values.get("changes", ()))
    for name in ("notes", "plugins", "remarks", "scrubbed"):
        values[name] = tuple(values.get(name, ()))
    return Manifest(**values)


def _part(part: type, found: Mapping[str, Any]) -> Any:
    return part(**{k: _tuples(v) for k, v in dict(found).items() if k in _names(part)})


def _names(part: type) -> set[str]:
    return {each.name for each in dataclasses.fields(part)}


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
