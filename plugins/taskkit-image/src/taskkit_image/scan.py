"""What image files are without decoding them: their hashes and sizes, remembered until a file changes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from taskkit import DataError, FileMemory, file_sha256
from taskkit_image.facts import MOST_PIXELS
from taskkit_image.opening import Held, held, opened


class Scanned(NamedTuple):
    """One file."""

    sha256: str
    height: int | None
    """Pixels, upright; None when the file cannot be read."""
    width: int | None
    several: bool
    """Whether it holds more pictures than one, as a moving GIF does; the first is read."""
    damaged_exif: bool
    """Whether its EXIF is damaged or has an orientation that there is not; it is read as it lies."""


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
    sha256 = file_sha256(path)
    try:
        # Whatever a recipe allows, for the header alone takes no memory, and what is remembered holds for any recipe.
        with opened(path, MOST_PIXELS) as image:
            how = _held(image)
            width, height = image.size if how.orientation < 5 else image.size[::-1]
            return Scanned(sha256, height, width, getattr(image, "is_animated", False), how.damaged)
    except DataError:
        return Scanned(sha256, None, None, False, False)


def _held(image: Image.Image) -> Held:
    """How a picture was held, as far as what stands before its pixels says, and its size does not heed."""
    # To look behind them, Pillow would decode a PNG file; of a TIFF file it says the upright size.
    unknown = image.format == "PNG" and "exif" not in image.info
    return Held(1, damaged=False) if unknown or image.format == "TIFF" else held(image)
