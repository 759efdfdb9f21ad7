"""The run directory: what was run, on what, how it ended, what it measured."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from taskkit import cores
from taskkit.errors import CheckpointError, Failure, TaskkitError
from taskkit.plugins.installed import name_and_version
from taskkit.runs.encryption import EncryptionKey, writing
from taskkit.runs.lock import is_free
from taskkit.runs.manifest import FILE, Manifest, Process, Status, read
from taskkit.wording import printable, quoted

RECIPE = "recipe.yaml"
LOCK = ".lock"

NAMED_CHANGES = 3
"""Changes that the name of a run has room for."""
LONGEST_CHANGE = 32
"""Characters of a change in the name of a run."""
_UNSAFE = re.compile(r"[^\w.+-]+", re.ASCII)


class Record:
    """Writes a run directory, but for its checkpoints; the manifest is replaced in one piece at each change."""

    def __init__(self, path: Path, manifest: Manifest, key: EncryptionKey | None = None) -> None:
        self.path = path
        self.manifest = manifest
        self.key = key
        """With a key the run's words about examples are encrypted, or not kept."""

    @classmethod
    def create(cls, path: Path, manifest: Manifest, recipe: str, key: EncryptionKey | None = None) -> Record:
        """Begin a run of a recipe, which is kept as text, in a directory in which nothing was trained."""
        with _making(path):
            path.mkdir(parents=True, exist_ok=True)
        record = cls(path, manifest, key)
        # First: it says whose directory this is, and holds all that the run needs to go on.
        record.update(started=now())
        write_atomically(path / RECIPE, recipe)
        (path / "checkpoints").mkdir(exist_ok=True)
        return record

    def update(self, **changes: Any) -> None:
        """Change fields of the manifest."""
        self.manifest = replace(self.manifest, **changes)
        write_atomically(self.path / FILE, self.manifest.to_json() + "\n")

    def end(self, status: Status, reason: str | None = None, failure: Failure | None = None) -> None:
        """Write how the run ended: finished, failed or preempted."""
        if status == "failed" and self.key is not None:
            reason = "The reason was printed and is not kept, since it may quote data (privacy.encrypt)."
        self.update(status=status, reason=reason, failure=failure, ended=now())

    def metrics(self, line: Mapping[str, Any]) -> None:
        """Append one line of metrics."""
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def keep_lines(self, count: int) -> None:
        """Drop the lines of metrics after so many, which a run that is gone on with takes again."""
        path = self.path / "metrics.jsonl"
        if path.exists():
            write_atomically(path, "".join(path.read_text().splitlines(keepends=True)[:count]))

    def log(self, text: str) -> None:
        """Append to log.txt what is printed on the terminal, with control characters escaped; none if encrypted."""
        if self.key is not None:
            return
        with (self.path / "log.txt").open("a", encoding="utf-8") as file:
            file.write(printable(text) + "\n")

    def table(self, name: str, table: Mapping[str, Sequence[Any]]) -> None:
        """Keep a table as NAME.csv."""
        import pyarrow as pa
        from pyarrow import csv

        with write_file(self.path / f"{name}.csv") as path, writing(path, self.key) as file:
            csv.write_csv(pa.table(dict(table)), file)

    def rows(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep one row per example as NAME.parquet; nested values are written as JSON."""
        import pyarrow as pa
        from pyarrow import parquet

        flat = [{k: v if isinstance(v, _PLAIN) else json.dumps(v) for k, v in row.items()} for row in rows]
        with write_file(self.path / f"{name}.parquet") as path, writing(path, self.key) as file:
            parquet.write_table(pa.Table.from_pylist(flat), file)


_PLAIN = (str, int, float, bool, type(None))


def new_directory(out: Path | None, stem: str, label: str = "") -> Path:
    """A directory for a new run: `out` itself, or one under runs/ named by the recipe, the time and a label.

    Raises TaskkitError when `out` holds something: a run directory is never overwritten.
    """
    if out is not None:
        with _making(out):
            check_unused(out)
        return out
    time = datetime.now(UTC).astimezone().strftime("%Y-%m-%dT%H-%M-%S")
    base = Path("runs") / stem / "_".join(filter(None, [time, label]))
    for number in range(1, 1000):
        path = base if number == 1 else base.with_name(f"{base.name}-{number}")
        with _making(path):
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                if not path.is_dir():
                    raise
                continue
        return path
    raise TaskkitError(f"{base}: a thousand runs began in this second. Name a directory with --out.")


@contextmanager
def _making(path: Path) -> Iterator[None]:
    """Raise TaskkitError where a run directory cannot be made, or may not be written."""
    try:
        yield
    except OSError as error:
        raise TaskkitError(
            f"{path}: no run directory can be made there ({error.strerror}). Name another place with --out."
        ) from error


def check_unused(out: Path) -> None:
    """Raise TaskkitError for a directory that holds anything but what a run left in which nothing was trained."""
    if out.is_file() or (out.is_dir() and not _untrained(out)):
        instead = f", or go on with that run by `taskkit run --resume {quoted(out)}`" if (out / FILE).exists() else ""
        raise TaskkitError(
            f"--out {out}: it is not empty. A new or empty directory was expected. Name another{instead}."
        )


def _untrained(directory: Path) -> bool:
    # Hidden ones of ours are what a killed process was writing.
    ours = (LOCK, f".{FILE}.", f".{RECIPE}.")
    found = {path.name for path in directory.iterdir() if not path.name.startswith(ours)}
    if not found <= {FILE, RECIPE, "log.txt", "checkpoints"} or any((directory / "checkpoints").glob("*")):
        return False
    # Without a manifest a recipe or a log may be anyone's.
    return FILE in found or found <= {"checkpoints"}


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Let no other process write this run meanwhile; raises TaskkitError, which names the one that does.

    The lock goes with a process that is killed; processes that it forked do not keep it, as they would by flock.
    """
    with _making(directory):
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / LOCK).open("a")
    with file:
        free = is_free(file)
        writer = _writer(directory)
        if not free or (writer is not None and writer.is_there and writer.pid != os.getpid()):
            who = "" if writer is None else f", as process {writer.pid} on {writer.host}"
            raise TaskkitError(f"{directory}: this run is still going on{who}. Stop that first.")
        yield


def _writer(directory: Path) -> Process | None:
    """The process that a running run names, if there is one."""
    try:
        found = read(directory)
    except CheckpointError:
        return None
    return found.process if found.status == "running" else None


def run_label(seed: int, changes: Mapping[tuple[str, ...], Any]) -> str:
    """What the name of a run says beside the time: its seed, and its first changes by the ends of their keys."""
    ours = [
        short_change(key, value)
        for key, value in changes.items()
        if key != ("seed",) and not isinstance(value, Mapping)
    ]
    rest = [f"and-{len(ours) - NAMED_CHANGES}-more"] if len(ours) > NAMED_CHANGES else []
    return "_".join([f"seed={seed}", *ours[:NAMED_CHANGES], *rest])


def short_change(key: tuple[str, ...], value: Any) -> str:
    """A change as part of a file's name, by the end of its key: `lr=0.001`."""
    name = key[-2] if key[-1] == "name" and len(key) > 1 else key[-1]
    said = Path(value).name if isinstance(value, str) else json.dumps(value)
    return f"{_UNSAFE.sub('-', name)}={_UNSAFE.sub('-', said)}"[:LONGEST_CHANGE].rstrip("-.")


def write_atomically(path: Path, text: str) -> None:
    """Write a file beside its final name, then move it into place."""
    with write_file(path) as beside:
        beside.write_text(text)


@contextmanager
def write_file(path: Path) -> Iterator[Path]:
    """A path to write to, which is moved to its final name once it is whole."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield beside
        beside.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # that of a full disk has none
        raise
    finally:
        beside.unlink(missing_ok=True)


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def environment(device: str) -> dict[str, Any]:
    """Python, platform, packages and the state of the git checkout that a run starts in."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "device": device,
        "cpu": cpu(),
        "git": git_state(),
        "packages": dict(sorted(each for each in map(name_and_version, importlib.metadata.distributions()) if each[0])),
    }


def cpu() -> str:
    """What the processor calls itself, and how many cores this process may use."""
    try:
        names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        names = []
    return f"{len(cores.usable())} x {names[0] if names else platform.processor() or platform.machine()}"


def git_state() -> dict[str, Any] | None:
    """The commit of the working directory's checkout and whether it has changes, or None outside one."""
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    # A checkout that somebody sent may name a program of its own here, which git would run.
    command = ["git", "-c", "core.fsmonitor=false", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
