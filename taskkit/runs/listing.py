"""The runs below a directory, each in a line, read from their manifests alone."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, get_args

from taskkit.errors import CheckpointError, TaskkitError
from taskkit.runs import manifest
from taskkit.runs.manifest import FILE, Process, Status
from taskkit.wording import did_you_mean


@dataclass(frozen=True)
class Row:
    """A run as a list shows it."""

    run: str
    """Its directory."""
    status: str
    """That of run.json; `killed` where its process is gone, `damaged` where run.json cannot be read."""
    title: str = ""
    data: str = ""
    headline: str = ""
    """The name of the metric that it is judged by."""
    score: float | None = None
    better: str = ""
    """`max` or `min`."""
    seconds: float | None = None
    """Of training."""
    parameters: int | None = None
    started: str = ""
    """In UTC."""
    reason: str = ""
    """Why it failed, stopped or cannot be read."""
    retain_until: str = ""
    """The last day on which it may be kept; empty: nothing is said."""

    @property
    def overdue(self) -> bool:
        """Whether that day is over."""
        return bool(self.retain_until) and date.today() > date.fromisoformat(self.retain_until)


STATUSES = (*get_args(Status), "killed", "damaged")
_ORDERS: Mapping[str, Callable[[Row], Any]] = {
    "started": lambda row: row.started,
    "run": lambda row: row.run,
    "status": lambda row: STATUSES.index(row.status),
    "title": lambda row: row.title,
    "data": lambda row: row.data,
    "score": lambda row: -(row.score or 0) if row.better == "max" else row.score,
    "cost": lambda row: row.seconds,
}
ORDERS = tuple(_ORDERS)


def find(root: Path, pattern: str = "*", statuses: Sequence[str] = (), order: str = "started") -> list[Row]:
    """The runs below a directory whose path, title or data match a pattern, in order; what lacks a value comes last.

    Raises TaskkitError where the directory is not there.
    """
    if not root.is_dir():
        raise TaskkitError(
            f"{root}: there is no such directory. One that runs were written below was expected. Name it with --root."
        )
    found = [_row(run) for run in runs_below(root)]
    chosen = [row for row in found if _matches(row, pattern) and (not statuses or row.status in statuses)]
    if pattern != "*" and found and not any(_matches(row, pattern) for row in found):
        words = {part for row in found for part in (row.title, row.data, *Path(row.run).parts)}
        raise TaskkitError(f"No run below {root} matches {pattern!r}.{did_you_mean(pattern, words)}")
    key = _ORDERS[order]
    known = [row for row in chosen if key(row) is not None and not (order == "score" and not _has_score(row))]
    return [*sorted(known, key=key), *(row for row in chosen if row not in known)]


def runs_below(root: Path) -> list[Path]:
    """The run directories at or below a directory, sorted; a run holds no runs, so nothing below one is looked at."""
    found = []
    for base, folders, files in os.walk(root):
        if FILE in files:
            found.append(Path(base))
            folders.clear()
    return sorted(found)


def _has_score(row: Row) -> bool:
    return row.score is not None and not math.isnan(row.score)


def _matches(row: Row, pattern: str) -> bool:
    words = (row.run, row.title, row.data)
    return any(fnmatch(word, pattern) or pattern.casefold() in word.casefold() for word in words)


def _row(run: Path) -> Row:
    try:
        found = manifest.read(run)
    except CheckpointError as error:
        return Row(str(run), "damaged", reason=str(error))
    headline, better = found.protocol.headline if found.protocol else ("", "")
    data = found.resolved.get("data", {})
    return Row(
        run=str(run),
        status="killed" if found.status == "running" and _is_gone(found.process) else found.status,
        title=found.recipe.title or str(found.resolved.get("title", "")),
        data=found.data.name if found.data else str(data.get("name", "")),
        headline=headline,
        score=found.metrics.get(f"test/{headline}"),
        better=better,
        seconds=found.cost.train_seconds,
        parameters=found.cost.parameters,
        started=found.started or "",
        reason=found.reason or "",
        retain_until=str(found.retain_until or ""),
    )


def _is_gone(process: Process | None) -> bool:
    """Whether the process that should be writing a run is not there, as far as this machine may know."""
    return process is not None and process.is_there is False


def age(started: str) -> str:
    """How long ago a time in UTC was, in its largest unit."""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds()
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def to_json(rows: Sequence[Row]) -> str:
    """The runs as one JSON object."""
    return json.dumps({"runs": [{**vars(row), "overdue": row.overdue} for row in rows]}, indent=2)
