"""What a run has of its examples, taken out again: texts, names, files and what was predicted for each of them.

The numbers stay, and with them intervals and tests: ids and groups become numbers, and words that a metric needs codes.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskkit.cachedir import size_of
from taskkit.errors import CheckpointError
from taskkit.runs import manifest
from taskkit.runs.encryption import EncryptionKey, is_encrypted, writing
from taskkit.runs.manifest import FILE, Manifest
from taskkit.runs.record import LOCK, RECIPE, Record, locked, now, write_atomically, write_file
from taskkit.runs.rows import read_rows

if TYPE_CHECKING:
    import pyarrow as pa

PREDICTIONS = "predictions.parquet"
MARK = b"taskkit_scrubbed"
"""In the metadata of predictions whose ids are gone: what `fingerprint` made of them."""
ENOUGH = 20
"""Of fewer ids no fingerprint is kept, since it could be found out what they were by trying names."""
KEPT = frozenset({FILE, RECIPE, LOCK, "metrics.jsonl", "verify.json", PREDICTIONS})
"""What has nothing of an example, or loses only that."""
TRACKERS = "trackers/"
"""What trackers were told, which is the recipe and metrics."""
REASON = "It was removed by taskkit scrub, since it may quote data."
_NAMED = re.compile(r" of (?!example \d+$).*", re.DOTALL)
"""How a proof of an older taskkit names the example that it found the largest difference for."""


@dataclass(frozen=True)
class Removal:
    """What was removed, or would be."""

    file: str
    """Its path in the run; a folder ends in `/`."""
    what: str
    bytes: int
    """How much smaller the run is for it."""


@dataclass(frozen=True)
class Scrubbed:
    """What scrubbing a run did, or would do."""

    removed: tuple[Removal, ...]
    checkpoints: tuple[str, ...]
    """Those that are still there: weights, and what the processor learnt."""
    others: tuple[str, ...]
    """Files that are still there of which taskkit does not know whether they name anybody."""


def scrub(run: Path, *, checkpoints: bool = False, dry_run: bool = False) -> Scrubbed:
    """Remove what a run has of its examples, with `checkpoints` these too, and keep in run.json what that was.

    Whatever is removed goes at once, file by file, so a scrub that was cut off is finished by another; where there is
    nothing left to remove, nothing is written. Raises CheckpointError where there is no run or its predictions cannot
    be read, and TaskkitError while it is running.
    """
    manifest.read(run)
    with locked(run):
        said = manifest.read(run)
        steps = [*_steps(run, said, checkpoints)]
        if not dry_run:
            record, before = Record(run, said), said.scrubbed
            done: list[Mapping[str, Any]] = []
            for step in steps:
                step.take()
                done.append(asdict(step.removal))
                record.manifest = _unnamed(record.manifest)
                record.update(scrubbed=(*before, {"ended": now(), "removed": [*done]}))
        gone = {step.removal.file for step in steps}
        return Scrubbed(tuple(step.removal for step in steps), *_left(run, gone))


def fingerprint(splits: str, ids: Sequence[str]) -> str:
    """What tells the ids of a test from others, in their order, without telling what they are; empty: they are few.

    `splits` is the fingerprint of the data.
    """
    return hashlib.sha256("\x1f".join([splits, *ids]).encode()).hexdigest() if len(ids) >= ENOUGH else ""


def mark_of(metadata: Mapping[bytes, bytes] | None) -> str | None:
    """The fingerprint of the ids that predictions had before they were scrubbed; None: they have them."""
    found = (metadata or {}).get(MARK)
    return None if found is None else found.decode()


@dataclass(frozen=True)
class _Step:
    removal: Removal
    take: Callable[[], None]


def _steps(run: Path, said: Manifest, checkpoints: bool) -> Iterator[_Step]:
    yield from _predictions(run, said)
    whole = [
        (run / "predictions", "files of predictions"),
        (run / "log.txt", "what was printed, which may quote examples"),
        *((path, "a report, which shows examples") for path in sorted(run.glob("*.html"))),
        *((path, "what a killed process left half-written") for path in _leftovers(run)),
        *((path, "weights, and what the processor learnt") for path in _checkpoints(run) if checkpoints),
    ]
    yield from (_gone(run, path, what) for path, what in whole if path.exists())
    yield from _verify(run)
    if (unnamed := _unnamed(said)) != said:
        freed = len(said.to_json()) - len(unnamed.to_json())
        yield _Step(Removal(FILE, "ids of marked examples, and why the run failed", freed), _nothing)


def _nothing() -> None:
    """The record itself is written at each step."""


def _gone(run: Path, path: Path, what: str) -> _Step:
    name = path.relative_to(run).as_posix()
    if path.is_dir() and not path.is_symlink():
        return _Step(Removal(f"{name}/", what, size_of(path)), lambda: shutil.rmtree(path))
    return _Step(Removal(name, what, path.lstat().st_size), path.unlink)


# Predictions.


def _predictions(run: Path, said: Manifest) -> Iterator[_Step]:
    import pyarrow as pa
    from pyarrow import parquet

    path = run / PREDICTIONS
    if not path.exists():
        return
    try:
        table = read_rows(path)
    except (OSError, pa.ArrowException) as error:
        raise CheckpointError(
            f"{path}: it cannot be read ({error}). The predictions of a run were expected. Remove the file."
        ) from None
    if mark_of(table.schema.metadata) is not None:
        return
    needed = {column for each in _statistics(said) for column in each.get("columns", ())}
    scrubbed, words = _scrubbed(table, needed, said.protocol.splits if said.protocol else "")
    sink = pa.BufferOutputStream()
    parquet.write_table(scrubbed, sink)
    content = sink.getvalue()

    def take() -> None:
        key = EncryptionKey.given(f"{path}: it is encrypted") if is_encrypted(path) else None
        with write_file(path) as beside, writing(beside, key) as file:
            file.write(content)

    yield _Step(Removal(PREDICTIONS, words, path.stat().st_size - content.size), take)


def _statistics(said: Manifest) -> Iterable[Mapping[str, Any]]:
    return said.protocol.statistics.values() if said.protocol else ()


def _scrubbed(table: pa.Table, needed: set[str], splits: str) -> tuple[pa.Table, str]:
    """The table without anything but numbers, and in words what became of its columns."""
    import pyarrow as pa

    columns: dict[str, pa.Array] = {}
    gone, coded, codes = list[str](), list[str](), dict[Any, str]()
    ids = list(map(str, table.column("id").to_pylist()))
    for name in table.column_names:
        column = table.column(name)
        if name == "id":
            columns[name] = pa.array([str(number) for number in range(1, len(table) + 1)])
        elif name == "group":
            columns[name] = _numbered(column.to_pylist(), {})
        elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type):
            columns[name] = column
        elif name in needed:
            # Of one code for all, so that a target and the prediction that is equal to it stay equal.
            columns[name] = _numbered(column.to_pylist(), codes)
            coded.append(name)
        else:
            gone.append(name)
    renamed = [f"{name}s" for name in ("id", "group") if name in columns]
    words = [f"{' and '.join(renamed)} are numbers now"]
    words += [f"{', '.join(coded)} are codes now, since metrics need them"] if coded else []
    words += [f"without {', '.join(gone)}"] if gone else []
    return pa.table(columns).replace_schema_metadata({MARK: fingerprint(splits, ids).encode()}), "; ".join(words)


def _numbered(cells: Iterable[Any], codes: dict[Any, str]) -> pa.Array:
    """A number, as text, for each cell, the same for the same; None stays None."""
    import pyarrow as pa

    return pa.array([None if cell is None else codes.setdefault(cell, str(len(codes) + 1)) for cell in cells])


# The other files.


def _verify(run: Path) -> Iterator[_Step]:
    """What verify.json says of examples: for which of them an answer differed most."""
    path = run / "verify.json"
    if not path.exists():
        return
    try:
        text = path.read_text()
        found = json.loads(text)
        for each in found["findings"]:
            if each["proof"] in ("batch-size", "order"):
                each["where"] = _NAMED.sub("", each["where"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error}). What `taskkit verify` wrote was expected. Remove it."
        ) from None
    if (scrubbed := json.dumps(found, indent=2) + "\n") != text:
        removal = Removal(path.name, "ids of examples", len(text.encode()) - len(scrubbed.encode()))
        yield _Step(removal, lambda: write_atomically(path, scrubbed))


def _unnamed(said: Manifest) -> Manifest:
    """The manifest without ids of examples, and without remarks and the reason of a failure, which may quote cells."""
    data, reason = said.data, said.reason
    if data is not None:
        flagged = {
            split: {flag: {**each, "examples": []} for flag, each in flags.items()}
            for split, flags in data.flagged.items()
        }
        data = replace(data, flagged=flagged)
    return replace(said, data=data, remarks=(), reason=REASON if said.status == "failed" and reason else reason)


def _checkpoints(run: Path) -> list[Path]:
    return sorted(path for path in (run / "checkpoints").glob("*") if not path.name.startswith("."))


def _leftovers(run: Path) -> list[Path]:
    hidden = [*run.glob(".*"), *(run / "checkpoints").glob(".*")]
    return sorted(path for path in hidden if path.name != LOCK and path.is_file())


def _left(run: Path, gone: set[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Checkpoints that are still there, and files about which nobody here knows."""
    files = [path.relative_to(run).as_posix() for path in sorted(run.rglob("*")) if path.is_file()]
    folders = tuple(each for each in gone if each.endswith("/"))
    left = [name for name in files if name not in gone and not name.startswith(folders)]
    checkpoints = tuple(name for name in left if name.startswith("checkpoints/"))
    known = {*KEPT, *checkpoints}
    return checkpoints, tuple(name for name in left if name not in known and not name.startswith(TRACKERS))
