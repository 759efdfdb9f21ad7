"""What image files are without decoding them: their hashes and sizes, remembered until a file changes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from taskkit import FileMemory, file_sha256


class Scanned(NamedTuple):
    """One file."""

    sha256: str
    height: int | None
    """Pixels, upright; None when the file cannot be read."""
    width: int | None


def scan(root: Path, paths: Sequence[Path]) -> list[Scanned]:
    """Hash and measure files, several at a time; those that did not change since last time are not read."""
    workers = min(32, 4 * (os.cpu_count() or 1))
    with FileMemory("image.folder", str(root), Scanned._make) as memory, ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda path: memory.recall(path, _scan), paths))


def common_size(scanned: Sequence[Scanned]) -> tuple[int | None, int | None]:
    """The height and width of all files that can be read, or None and None when they differ."""
    sizes = {(file.height, file.width) for file in scanned if file.height is not None}
    return sizes.pop() if len(sizes) == 1 else (None, None)


def _scan(path: Path) -> Scanned:
    return Scanned(file_sha256(path), *_upright_size(path))


def _upright_size(path: Path) -> tuple[int | None, int | None]:
    orientation = 0x0112
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(orientation, 1) >= 5
            return image.size if turned else image.size[::-1]
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None, None
