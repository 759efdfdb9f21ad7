"""What image files are without decoding them: their hashes and sizes, remembered until a file changes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from taskkit import DataError, FileMemory, file_sha256
from taskkit_image.facts import MOST_PIXELS
from taskkit_image.opening import Held, held, opened

SHA256 = 32
"""Bytes of such a hash."""
TOGETHER = 64
"""Files that a thread scans before it hands them over: a task for each would take more memory than what it finds."""


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


@dataclass(frozen=True)
class Scans:
    """All files, of which there may be millions, by their numbers."""

    hashes: bytes
    """The sha256 of each, one after the other."""
    size: tuple[int | None, int | None]
    """The height and width of all that can be read, or None and None when they differ."""
    several: Sequence[int]
    """Those that hold several pictures."""
    damaged_exif: Sequence[int]

    def sha256(self, number: int) -> str:
        """That of one file, in hexadecimal digits."""
        return self.hashes[number * SHA256 : (number + 1) * SHA256].hex()


def scan(root: Path, names: Sequence[str]) -> Scans:
    """Hash and measure files of `root`, several at a time; those that did not change since last time are not read."""
    workers = min(32, 4 * (os.cpu_count() or 1))
    hashes, sizes, several, damaged = bytearray(), set[tuple[int | None, int | None]](), list[int](), list[int]()

    def scanned(numbers: range) -> list[Scanned]:
        return [memory.recall(root / names[number], _scan) for number in numbers]

    parts = [range(at, min(at + TOGETHER, len(names))) for at in range(0, len(names), TOGETHER)]
    with FileMemory("image.folder", str(root), Scanned._make) as memory, ThreadPoolExecutor(workers) as pool:
        for number, file in enumerate(chain.from_iterable(pool.map(scanned, parts))):
            hashes += bytes.fromhex(file.sha256)
            if file.height is not None:
                sizes.add((file.height, file.width))
            if file.several:
                several.append(number)
            if file.damaged_exif:
                damaged.append(number)
    return Scans(bytes(hashes), sizes.pop() if len(sizes) == 1 else (None, None), several, damaged)


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
