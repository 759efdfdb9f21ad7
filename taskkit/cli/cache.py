"""`taskkit cache`: what is kept on the disk to be used again, and how to make room."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from taskkit import cachedir
from taskkit.batches import entries
from taskkit.batches.entries import parse_size, size_text
from taskkit.cli.output import say
from taskkit.cli.table import print_table

DAY = 86400.0
FOLDERS = {"source": "sources", "samples": "samples", "shard": "shards"}
"""Where in the cache things of a kind are; what is elsewhere, plugins put there."""
COLUMNS = ("kind", "what", "data", "split", "size", "last use", "state")


@dataclass(frozen=True)
class Row:
    """Something in the cache."""

    kind: str
    """`source`, `samples`, `shard` or `other`."""
    path: str
    what: str
    """The model that samples were encoded for, or the name of what was fetched."""
    size: int
    """In bytes."""
    last_use: float
    """In seconds since 1970."""
    data: str = ""
    split: str = ""
    state: str = ""
    """`in use`, `half-made`, or nothing."""

    def cells(self) -> tuple[str, ...]:
        """What a person reads, in the order of COLUMNS."""
        when = datetime.fromtimestamp(self.last_use).strftime("%Y-%m-%d %H:%M")
        return (self.kind, self.what, self.data, self.split, size_text(self.size), when, self.state)


@click.command
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--prune", is_flag=True, help="Remove samples that no run uses, fetched shards, and what killed runs left."
)
@click.option("--older", type=click.FloatRange(min=0), metavar="DAYS", help="The same, of what was unused for so long.")
@click.option("--sources", is_flag=True, help="With --prune: remove fetched data and weights too.")
@click.option("--limit", metavar="SIZE", help="Remove the least recently used samples until the rest fit, as 20GB.")
def command(as_json: bool, prune: bool, older: float | None, sources: bool, limit: str | None) -> None:
    """List encoded samples and fetched data with their sizes, or make room.

    All of it can be made or fetched again. Samples that a run uses are never removed.
    """
    if sources and not prune:
        raise click.UsageError("--sources says what --prune removes too. Give both.")
    if limit is not None and (prune or older is not None):
        raise click.UsageError("--limit SIZE keeps the samples used last, whatever their age. Give it alone.")
    if older is not None and not math.isfinite(older):
        raise click.UsageError(f"--older is {older}. Expected a number of days, such as 30.")
    entries.limit()  # Nonsense in its variable is told before anything goes.
    freed = None
    if limit is not None:
        size = parse_size(limit, "--limit")
        freed = 0 if size is None else sum(entry.size for entry in entries.evict(size))
    elif prune or older is not None:
        freed = _prune(["samples", "shard", *(["source"] if sources else [])], older)
    rows = list(_rows())
    if as_json:
        say(json.dumps(_as_json(rows, freed), indent=2))
    elif freed is None:
        print_table(COLUMNS, [row.cells() for row in rows], right=("size",), fold=("what", "data"))
    else:
        say(f"freed {size_text(freed)}")
    if not as_json:
        say(_summary(rows))


def _prune(kinds: Sequence[str], days: float | None) -> int:
    """Remove what is not in use, or was not for so many days, and what killed runs left; return the bytes freed."""
    since = time.time() - (days or 0.0) * DAY
    rows = [row for row in _rows() if row.kind in kinds and not row.state and (days is None or row.last_use < since)]
    freed = sum(row.size for row in rows if cachedir.remove(Path(row.path)))
    return freed + sum(cachedir.sweep(cachedir.cache_directory() / folder) for folder in FOLDERS.values())


# What there is.


def _rows() -> Iterator[Row]:
    """Sources, samples, and what plugins keep."""
    place = cachedir.cache_directory()
    for path in cachedir.entries(place / FOLDERS["source"]):
        yield from _row("source", path, path.name.rpartition("-")[0], last_use=_last_read)
    for entry in reversed(entries.entries()):
        what, data, split = (str(entry.about.get(name, "")) for name in ("model", "data", "split"))
        what = what or str(entry.about.get("processor", "unknown")).rpartition(":")[2]
        state = "in use" if cachedir.is_held(entry.folder) else ""
        yield Row("samples", str(entry.folder), what, entry.size, entry.last_use, data, split, state)
    for path in cachedir.entries(place / FOLDERS["shard"]):
        yield from _row("shard", path, path.name[:12])
    for kind, folder in FOLDERS.items():
        for path in cachedir.partial_entries(place / folder):
            yield from _row(kind, path, path.name, state="half-made")
    for path in sorted(path for path in place.glob("*") if path.name not in FOLDERS.values()):
        yield from _row("other", path, path.name)


def _row(
    kind: str, path: Path, what: str, last_use: Callable[[Path], float] = os.path.getmtime, state: str = ""
) -> Iterator[Row]:
    with suppress(OSError):  # another process removes it
        yield Row(kind, str(path), what, cachedir.size_of(path), last_use(path), state=state)


def _last_read(folder: Path) -> float:
    """When a file of fetched data was read last, as far as the file system keeps that."""
    files = [Path(base, name) for base, _, names in os.walk(folder) for name in names if not name.startswith(".")]
    return max((path.stat().st_atime for path in files), default=folder.stat().st_mtime)


def _as_json(rows: Sequence[Row], freed: int | None) -> dict[str, object]:
    listed = [{**asdict(row), "last_use": datetime.fromtimestamp(row.last_use, UTC).isoformat()} for row in rows]
    facts = {"directory": str(cachedir.cache_directory()), "limit": entries.limit(), "total": sum(r.size for r in rows)}
    return {**facts, **({} if freed is None else {"freed": freed}), "entries": listed}


# How it is shown.


def _summary(rows: Sequence[Row]) -> str:
    samples, limit = sum(row.size for row in rows if row.kind == "samples"), entries.limit()
    most = "without a limit" if limit is None else f"of at most {size_text(limit)}"
    total = size_text(sum(row.size for row in rows))
    return f"{total} in {cachedir.cache_directory()}; samples {size_text(samples)} {most} ({entries.LIMIT})"
