"""The cache: a directory that many processes fill, one entry at a time, whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from taskkit.errors import SourceError

log = logging.getLogger("taskkit")

HELD = ".held"
"""The file in an entry that `hold` locks; whoever fills an entry that is to be held puts it there."""

_PARTIAL = ".partial-"


def cache_directory() -> Path:
    """Where taskkit keeps what it can make again: TASKKIT_CACHE, else the platform's own place for caches."""
    named = os.environ.get("TASKKIT_CACHE")
    return Path(named).expanduser().absolute() if named else platformdirs.user_cache_path("taskkit")


@contextmanager
def exclusive(entry: Path) -> Iterator[None]:
    """Let one process at a time make `entry` of a cache, and clear away what killed ones left half-made.

    Raises SourceError when the cache cannot be written.
    """
    lock = _lock(entry)
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        log.info("waiting for another process that is making %s", entry)
        lock.acquire()
    except OSError as error:
        raise SourceError(
            f"the cache {entry.parent} cannot be used: {error}. A folder that can be written was expected. "
            "Name another with TASKKIT_CACHE=FOLDER."
        ) from error
    try:
        for left in entry.parent.glob(f"{entry.name}{_PARTIAL}*"):
            shutil.rmtree(left, ignore_errors=True)
        sweep(entry.parent)
        yield
    finally:
        lock.release()


@contextmanager
def filling(entry: Path) -> Iterator[Path]:
    """Give a folder to fill that becomes the exclusive `entry` at the end, or goes away on an error."""
    made = _aside(entry)
    made.mkdir()
    try:
        yield made
        if entry.exists():
            shutil.rmtree(entry)
        made.replace(entry)
    finally:
        shutil.rmtree(made, ignore_errors=True)


class Hold:
    """Keeps an entry from being removed, by whatever process, until this object and its copies by fork are gone."""

    def __init__(self, entry: Path, descriptor: int) -> None:
        self.entry = entry
        weakref.finalize(self, os.close, descriptor)


def hold(entry: Path) -> Hold:
    """Hold an entry; raises FileNotFoundError when it is not there."""
    descriptor = os.open(entry / HELD, os.O_RDONLY)
    held = Hold(entry, descriptor)
    # Some network file systems know no locks: there nothing is held, and nothing is removed either.
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    # Who removes an entry may have had the lock between the two lines above: then this file is no longer there.
    if not os.path.samestat(os.fstat(descriptor), (entry / HELD).stat()):
        raise FileNotFoundError(f"{entry} was removed")
    return held


def is_held(entry: Path) -> bool:
    """Whether any process holds an entry, as far as this one may know."""
    try:
        with _unheld(entry):
            return False
    except OSError as error:
        return isinstance(error, BlockingIOError)


def remove(entry: Path) -> bool:
    """Remove an entry that nobody holds or makes, and say whether that was done.

    It leaves its name in one step, so that no other process ever finds a part of it.
    """
    away = _aside(entry)
    try:
        with _lock(entry).acquire(timeout=0), _unheld(entry):
            entry.replace(away)
    except (Timeout, OSError):
        return False
    shutil.rmtree(away, ignore_errors=True)
    return True


def file_sha256(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal digits, read in parts; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def entries(folder: Path) -> list[Path]:
    """The whole entries of a folder of the cache, by name."""
    return sorted(path for path in _folders(folder) if _PARTIAL not in path.name)


def partial_entries(folder: Path) -> list[Path]:
    """The folders that are being filled or removed, or that killed processes left so."""
    return sorted(path for path in _folders(folder) if _PARTIAL in path.name)


def sweep(folder: Path) -> int:
    """Remove the half-made entries of processes that are gone, those whose lock is free; return the bytes freed."""
    freed = 0
    for left in partial_entries(folder):
        owner = left.with_name(left.name.rpartition(_PARTIAL)[0])
        try:
            with _lock(owner).acquire(timeout=0):
                size = size_of(left)
                shutil.rmtree(left)
                freed += size
        except (Timeout, OSError):
            continue
    return freed


def size_of(path: Path) -> int:
    """The bytes of a file, or of all files below a folder."""
    if not path.is_dir():
        return path.lstat().st_size
    return sum(Path(base, name).lstat().st_size for base, _, names in os.walk(path) for name in names)


def _folders(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("*") if path.is_dir())


def _aside(entry: Path) -> Path:
    return entry.with_name(f"{entry.name}{_PARTIAL}{os.getpid()}")


def _lock(entry: Path) -> FileLock:
    return FileLock(f"{entry}.lock")


@contextmanager
def _unheld(entry: Path) -> Iterator[None]:
    """Let nobody hold an entry meanwhile; raises BlockingIOError when somebody does."""
    try:
        descriptor = os.open(entry / HELD, os.O_RDWR)
    except FileNotFoundError:
        descriptor = None  # it is of a kind that is not held, or damaged
    try:
        if descriptor is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)
