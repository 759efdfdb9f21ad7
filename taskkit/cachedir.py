"""The cache: a directory that many processes fill, one entry at a time, whole or not at all."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from taskkit.errors import SourceError

log = logging.getLogger("taskkit")

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
        _sweep(entry)
        yield
    finally:
        lock.release()


@contextmanager
def filling(entry: Path) -> Iterator[Path]:
    """Give a folder to fill that becomes the exclusive `entry` at the end, or goes away on an error."""
    made = entry.with_name(f"{entry.name}{_PARTIAL}{os.getpid()}")
    made.mkdir()
    try:
        yield made
        if entry.exists():
            shutil.rmtree(entry)
        made.replace(entry)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _lock(entry: Path) -> FileLock:
    return FileLock(f"{entry}.lock")


def _sweep(entry: Path) -> None:
    """Remove the half-made folders of processes that are gone: those whose lock is free, or is ours."""
    for left in entry.parent.glob(f"*{_PARTIAL}*"):
        owner = entry.with_name(left.name.rpartition(_PARTIAL)[0])
        if owner == entry:
            shutil.rmtree(left, ignore_errors=True)
            continue
        lock = _lock(owner)
        try:
            with lock.acquire(timeout=0):
                shutil.rmtree(left, ignore_errors=True)
        except Timeout:
            continue
