"""What image files are without decoding them: their hashes and sizes, remembered until a file changes."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from taskkit import cache_directory


class Scanned(NamedTuple):
    """One file."""

    bytes: int
    modified: int
    """Nanoseconds; with `bytes` it tells whether the file changed."""
    sha256: str
    height: int | None
    """Pixels, upright; None when the file cannot be read."""
    width: int | None


def scan(root: Path, paths: Sequence[Path]) -> list[Scanned]:
    """Hash and measure files, several at a time; those that did not change since last time are not read."""
    memory = _memory(root)
    known = _remembered(memory)
    with ThreadPoolExecutor(min(32, 4 * (os.cpu_count() or 1))) as pool:
        scanned = list(pool.map(lambda path: _scan(path, known.get(str(path))), paths))
    now = dict(zip(map(str, paths), scanned, strict=True))
    if now != known:
        _remember(memory, now)
    return scanned


def common_size(scanned: Sequence[Scanned]) -> tuple[int | None, int | None]:
    """The height and width of all files that can be read, or None and None when they differ."""
    sizes = {(file.height, file.width) for file in scanned if file.height is not None}
    return sizes.pop() if len(sizes) == 1 else (None, None)


def _scan(path: Path, known: Scanned | None) -> Scanned:
    status = path.stat()
    if known and (known.bytes, known.modified) == (status.st_size, status.st_mtime_ns):
        return known
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Scanned(status.st_size, status.st_mtime_ns, sha256, *_upright_size(path))


def _upright_size(path: Path) -> tuple[int | None, int | None]:
    orientation = 0x0112
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(orientation, 1) >= 5
            return image.size if turned else image.size[::-1]
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None, None


def _memory(root: Path) -> Path:
    name = hashlib.sha256(str(root).encode()).hexdigest()[:16]
    return cache_directory() / "image.folder" / f"{name}.json"


def _remembered(memory: Path) -> Mapping[str, Scanned]:
    try:
        return {path: Scanned(*file) for path, file in json.loads(memory.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _remember(memory: Path, files: Mapping[str, Scanned]) -> None:
    """Write it whole or not at all; a cache that cannot be written only costs time."""
    with suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=memory.parent, delete=False) as file:
            json.dump(files, file)
        Path(file.name).replace(memory)
