"""The sample store from outside, without torch: its entries, how large it may grow, and which entries go first."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskkit import cachedir
from taskkit.errors import TaskkitError

log = logging.getLogger("taskkit")

LIMIT = "TASKKIT_CACHE_LIMIT"
ABOUT = "about.json"
INDEX = "index.json"

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_MOST = 50 * _UNITS["GB"]


@dataclass(frozen=True)
class Entry:
    """The encoded samples of a split."""

    folder: Path
    size: int
    """In bytes."""
    last_use: float
    """When it was made or opened last, in seconds since 1970."""
    about: Mapping[str, Any]
    """What its `about.json` says; empty when that cannot be read."""


def folder() -> Path:
    """Where encoded samples are kept."""
    return cachedir.cache_directory() / "samples"


def entries() -> list[Entry]:
    """All entries, the least recently used first."""
    found = []
    for path in cachedir.entries(folder()):
        with suppress(OSError):  # another process removes it
            found.append(Entry(path, cachedir.size_of(path), _last_use(path), _about(path)))
    return sorted(found, key=lambda entry: entry.last_use)


def mark_used(path: Path) -> None:
    """Note that an entry was opened now, unless the cache can only be read."""
    with suppress(OSError):
        os.utime(path / INDEX)


def evict(limit: int) -> list[Entry]:
    """Remove the least recently used entries that no process uses until all fit `limit` bytes; return the removed."""
    found, removed = entries(), list[Entry]()
    excess = sum(entry.size for entry in found) - limit
    for entry in found:
        if excess <= 0:
            break
        if cachedir.remove(entry.folder):
            removed.append(entry)
        if not entry.folder.exists():
            excess -= entry.size
    if removed:
        log.info(
            "removed %s of encoded samples, the least recently used, to keep the rest within %s; %s=SIZE sets another "
            "limit, as 20GB, or none",
            size_text(sum(entry.size for entry in removed)),
            size_text(limit),
            LIMIT,
        )
    return removed


def limit() -> int | None:
    """How many bytes all encoded samples may take: by TASKKIT_CACHE_LIMIT, else 50 GB or a fifth of the disk if less.

    None when there is no limit. Raises TaskkitError when the variable cannot be understood.
    """
    given = os.environ.get(LIMIT)
    if given:
        return parse_size(given, LIMIT)
    place = next(path for path in (folder(), *folder().parents) if path.exists())
    return min(_MOST, shutil.disk_usage(place).total // 5)


def parse_size(text: str, where: str) -> int | None:
    """The bytes of `20GB`, `1.5 TB` or `500MB`, None of `none`; raises TaskkitError, which names `where` it stands."""
    if text.strip().lower() == "none":
        return None
    size = re.fullmatch(r"\s*(?:(\d+(?:\.\d+)?)\s*([KMGT]?B)|0)\s*", text.upper())
    if size is None:
        raise TaskkitError(
            f"{where}: {text!r} is not a size. A number and its unit was expected, or none. Write it as 20GB or 500MB."
        )
    if size[1] is None:  # Nothing needs no unit.
        return 0
    return int(float(size[1]) * _UNITS[size[2]])


def size_text(size: int) -> str:
    """A number of bytes as a person reads it: `1.2 GB`."""
    unit, scale = next((item for item in reversed(_UNITS.items()) if size >= item[1]), ("B", 1))
    return f"{size / scale:.1f}".removesuffix(".0") + f" {unit}"


def _last_use(path: Path) -> float:
    index = path / INDEX
    return (index if index.exists() else path).stat().st_mtime


def _about(path: Path) -> Mapping[str, Any]:
    try:
        about = json.loads((path / ABOUT).read_text())
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}
