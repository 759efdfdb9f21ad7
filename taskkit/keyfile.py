"""Keys: secrets in files of their own, apart from what they protect."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from taskkit.cachedir import cache_directory
from taskkit.errors import TaskkitError
from taskkit.wording import path_text

log = logging.getLogger("taskkit")

KEY_FILE = "TASKKIT_KEY_FILE"
"""The environment variable that names the key file of encrypted runs."""
SHORTEST = 16
"""Bytes that a key file must hold."""


def read_key(path: Path, use: str, remedy: str, error: type[TaskkitError]) -> bytes:
    """What a key file holds, without white space around it.

    `use` says in messages what the key is for, and `remedy` what to do where there is none. Raises `error` for a file
    that cannot be read, that can be guessed, or that lies in a run directory or in the cache.
    """
    try:
        content = path.read_bytes().strip()
    except OSError as failed:
        raise error(
            f"{path_text(path)}: the key {use} cannot be read: {failed.strerror}. A key file was expected. {remedy}"
        ) from None
    if len(content) < SHORTEST:
        raise error(
            f"{path_text(path)}: it holds {len(content)} bytes, which can be guessed. A key of at least {SHORTEST} was "
            f"expected. Make one: openssl rand -hex 32 > FILE"
        )
    if (beside := _protected(path)) is not None:
        raise error(
            f"{path_text(path)}: this key lies in {path_text(beside)}, so whoever has that has the key. A file outside "
            "of any run directory and of the cache was expected. Move it."
        )
    return content


def warn_of_readers(path: Path) -> None:
    """Say so where others may read a key file."""
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        log.warning("%s: others may read this key. Keep it to yourself with `chmod 600 %s`.", path, path)


def _protected(path: Path) -> Path | None:
    """The run directory or the cache that a file lies in: a key beside what it protects protects nothing."""
    cache = cache_directory().absolute().resolve()
    for folder in path.resolve().parents:
        if folder == cache or (folder / "run.json").exists():
            return folder
    return None
