"""The run directory: what was run, on what, how it ended, what it measured."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from taskkit.errors import CheckpointError, TaskkitError

SCHEMA = 1
MANIFEST = "run.json"


class Record:
    """Writes a run directory; the manifest is replaced in one piece at each change."""

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def create(cls, path: Path, manifest: Mapping[str, Any]) -> Record:
        """Begin a run in a directory that is new or empty, with status `running`."""
        path.mkdir(parents=True, exist_ok=True)
        (path / "checkpoints").mkdir()
        record = cls(path, {"schema": SCHEMA, "id": path.name, "status": "running", "reason": None})
        record.update(**manifest, started=now(), ended=None)
        return record

    @classmethod
    def open(cls, path: Path) -> Record:
        """Go on with a run directory; raises CheckpointError when it is none of ours."""
        return cls(path, manifest(path))

    def update(self, **changes: Any) -> None:
        """Change keys of the manifest."""
        self.manifest.update(changes)
        write_atomically(self.path / MANIFEST, json.dumps(self.manifest, indent=2, default=str) + "\n")

    def end(self, status: str, reason: str | None = None) -> None:
        """Say how the run ended: finished, failed or preempted."""
        self.update(status=status, reason=reason, ended=now())

    def metrics(self, line: Mapping[str, Any]) -> None:
        """Append one line of metrics."""
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def forget_after(self, step: int) -> None:
        """Drop the metrics of steps after a checkpoint, which a resumed run takes again."""
        path = self.path / "metrics.jsonl"
        if path.exists():
            kept = [line for line in path.read_text().splitlines() if _step(line) <= step]
            write_atomically(path, "".join(f"{line}\n" for line in kept))

    def log(self, text: str) -> None:
        """Append to log.txt what the terminal said."""
        with (self.path / "log.txt").open("a") as file:
            file.write(text + "\n")

    def table(self, name: str, table: Mapping[str, Sequence[Any]]) -> None:
        """Keep a table as NAME.csv."""
        import pyarrow as pa
        from pyarrow import csv

        csv.write_csv(pa.table(dict(table)), self.path / f"{name}.csv")

    def rows(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep one row per example as NAME.parquet; what is no single value is written as JSON."""
        import pyarrow as pa
        from pyarrow import parquet

        flat = [{k: v if isinstance(v, _PLAIN) else json.dumps(v) for k, v in row.items()} for row in rows]
        parquet.write_table(pa.Table.from_pylist(flat), self.path / f"{name}.parquet")


_PLAIN = (str, int, float, bool, type(None))


def _step(line: str) -> float:
    # The last line of a killed run may be half written.
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):
        return float("inf")


def manifest(path: Path) -> dict[str, Any]:
    """Read a run's manifest; raises CheckpointError when there is none that can be read."""
    try:
        found: dict[str, Any] = json.loads((path / MANIFEST).read_text())
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: no {MANIFEST} here. A run directory was expected, such as `taskkit run` prints at its end."
        ) from None
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path / MANIFEST}: cannot be read ({error}). A run's manifest was expected.") from None
    if found.get("schema") != SCHEMA:
        raise CheckpointError(
            f"{path / MANIFEST}: schema {found.get('schema')!r}; this taskkit reads {SCHEMA}. "
            "Use the taskkit version that wrote it."
        )
    return found


def new_directory(out: Path | None, stem: str) -> Path:
    """A directory for a new run: `out` itself, or one under runs/ named by the recipe and the time.

    Raises TaskkitError when `out` holds something: a run directory is never overwritten.
    """
    if out is not None:
        if out.is_file() or (out.is_dir() and any(out.iterdir())):
            raise TaskkitError(
                f"--out {out}: it is not empty. A new or empty directory was expected. Name another, or go on with "
                f"that run by `taskkit run --resume {out}`."
            )
        return out
    base = Path("runs") / stem / datetime.now(UTC).astimezone().strftime("%Y-%m-%dT%H-%M-%S")
    for number in range(1, 1000):
        path = base if number == 1 else base.with_name(f"{base.name}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return path
    raise TaskkitError(f"{base}: a thousand runs began in this second. Name a directory with --out.")


def write_atomically(path: Path, text: str) -> None:
    """Write a file beside its final name, then move it into place."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text)
    beside.replace(path)


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def environment(device: str) -> dict[str, Any]:
    """Python, platform, packages and the state of the git checkout that a run starts in."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "device": device,
        "git": git_state(),
        "packages": dict(
            sorted((d.metadata["Name"], d.version) for d in importlib.metadata.distributions() if d.metadata["Name"])
        ),
    }


def git_state() -> dict[str, Any] | None:
    """The commit of the working directory's checkout and whether it has changes, or None outside one."""
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True, timeout=10).stdout.strip()
