"""Facts about files that hold until one changes."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Generic, TypeVar

from taskkit.cachedir import cache_directory

Facts = TypeVar("Facts")


class FileMemory(Generic[Facts]):
    """Remembers facts about files, in a database of the cache, until a file's size or time of modification changes.

    `kind` is a folder of the cache and `name` says whose files they are, such as their root; an empty name: nothing is
    kept. Facts are plain data or tuples of these; `read` makes them of what JSON gives back, lists for tuples. Files
    that are not recalled within the `with` are forgotten at its end. A memory that cannot be read is taken for empty,
    and one that cannot be written is not kept: both only cost time. However many files there are, few of them are in
    memory. Threads may share one:

        with FileMemory("image.folder", str(root), Scanned._make) as memory:
            scanned = [memory.recall(path, scan) for path in paths]
    """

    def __init__(self, kind: str, name: str, read: Callable[[Any], Facts]) -> None:
        digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:16]
        self._path = cache_directory() / kind / f"{digest}.sqlite" if name else None
        self._read = read
        self._lock = Lock()
        self._known = _Kept.open(self._path) if self._path else None
        self._made: _Kept | None = None
        self._changed = False

    def recall(self, path: Path, look: Callable[[Path], Facts], enough: Callable[[Facts], bool] | None = None) -> Facts:
        """What is remembered of a file as it is now, else what `look` finds, which is remembered from now on.

        `look` is asked also where that is not `enough`, and for a file that is not there, of which nothing is
        remembered. Raises what `look` raises.
        """
        try:
            status = path.stat()
        except (OSError, ValueError):  # ValueError: a NUL in it, as a damaged table may hold
            return look(path)
        key, stamp = os.fsencode(path), (status.st_size, status.st_mtime_ns)
        known = self._remembered(key, stamp)
        if known is not None and (enough is None or enough(known[1])):
            self._keep((key, *stamp, known[0]))
            return known[1]
        facts = look(path)
        self._keep((key, *stamp, json.dumps(facts)), changed=True)
        return facts

    def __enter__(self) -> FileMemory[Facts]:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        forgotten = self._known is not None and self._made is not None and self._known.count() != self._made.count()
        if self._known is not None:
            self._known.close()
        if self._made is not None:
            changed = kind is None and (self._changed or forgotten)
            self._made.finish(self._path if changed else None)

    def _remembered(self, key: bytes, stamp: tuple[int, int]) -> tuple[str, Facts] | None:
        """What is known of a file with this stamp, as JSON and as facts."""
        if self._known is None:
            return None
        with self._lock:
            found = self._known.find(key)
        if found is None or found[:2] != stamp:
            return None
        try:
            return found[2], self._read(json.loads(found[2]))
        except (ValueError, TypeError, AttributeError, LookupError):
            return None

    def _keep(self, row: tuple[bytes, int, int, str], *, changed: bool = False) -> None:
        if self._path is None:
            return
        with self._lock:
            self._changed |= changed
            if self._made is None:
                self._made = _Kept.make(self._path.parent)
            self._made.add(row)


class _Kept:
    """A database of files by their paths: size, time of modification, and facts as JSON.

    Whatever goes wrong with it is as if it held nothing.
    """

    def __init__(self, path: Path | None, database: sqlite3.Connection | None) -> None:
        self._path = path
        self._database = database

    @classmethod
    def open(cls, path: Path) -> _Kept | None:
        """One that is only read; None where there is none that can be."""
        address = f"{path.as_uri()}?mode=ro&immutable=1"
        try:
            return cls(path, sqlite3.connect(address, uri=True, check_same_thread=False))
        except sqlite3.Error:
            return None

    @classmethod
    def make(cls, folder: Path) -> _Kept:
        """An empty one, which becomes another's successor."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=folder)
            os.close(descriptor)
            database = sqlite3.connect(name, check_same_thread=False, isolation_level=None)
            database.executescript(
                "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; CREATE TABLE files "
                "(path BLOB PRIMARY KEY, size INTEGER, modified INTEGER, facts TEXT) WITHOUT ROWID; BEGIN"
            )
            return cls(Path(name), database)
        except (OSError, sqlite3.Error):
            return cls(None, None)

    def find(self, path: bytes) -> tuple[int, int, str] | None:
        """What is kept of a file."""
        rows = self._ask("SELECT size, modified, facts FROM files WHERE path = ?", (path,))
        return rows[0] if rows else None

    def count(self) -> int:
        """How many files there are."""
        rows = self._ask("SELECT count(*) FROM files")
        return int(rows[0][0]) if rows else 0

    def add(self, row: tuple[bytes, int, int, str]) -> None:
        """Keep what is known of a file."""
        self._ask("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", row)

    def close(self) -> None:
        """Let go of the file."""
        if self._database is not None:
            self._database.close()

    def finish(self, path: Path | None) -> None:
        """Bring it to its place, or away with it where there is none for it."""
        self._ask("COMMIT")
        self.close()
        if self._path is not None:
            with suppress(OSError):
                if path is not None and self._database is not None:
                    self._path.replace(path)
                else:
                    self._path.unlink()

    def _ask(self, words: str, values: tuple[Any, ...] = ()) -> list[Any]:
        if self._database is None:
            return []
        try:
            return self._database.execute(words, values).fetchall()
        except sqlite3.Error:
            self.close()
            self._database = None
            return []
