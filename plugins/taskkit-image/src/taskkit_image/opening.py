"""Image files opened by Pillow, whose pixels are decoded only when there are not too many."""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from taskkit import DataError
from taskkit_image.facts import MAX_PIXELS

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
"""What a file may be, whatever its name. Pillow knows more, among them EPS, for which it runs another program."""
SUFFIXES = frozenset(
    {
        ".avif",
        ".bmp",
        ".gif",
        ".jfif",
        ".jp2",
        ".jpeg",
        ".jpg",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".tga",
        ".tif",
        ".tiff",
        ".webp",
    }
)
"""How the names of image files end, in lower case."""
HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
"""The brands of HEIC, the format of iPhones, which Pillow does not read."""
ORIENTATION = 0x0112
"""The EXIF tag that says how a picture was held; 1 to 8, of which 1 is upright."""
TILE = (322, 323)
"""The TIFF tags of the width and height of its tiles, where it has any."""


_WARNINGS = Lock()


class Held(NamedTuple):
    """How a picture was held when it was taken."""

    orientation: int
    """1, upright, to 8; 1 also where the EXIF says nothing or what there is not."""
    damaged: bool
    """Whether parts of the EXIF cannot be read, or its orientation is none."""


@contextmanager
def opened(source: Path | bytes, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """An image file, or what is in one, of which only the header has been read.

    Raises DataError for what is no image file, states more than `max_pixels`, or turns out to be damaged while it is
    open.
    """
    if isinstance(source, Path):
        _check_file(source)
    try:
        with _quiet():
            image = Image.open(source if isinstance(source, Path) else BytesIO(source), formats=FORMATS)
        with image:
            _check_size(source, image.width, image.height, max_pixels)
            if isinstance(image, TiffImageFile):  # libtiff decodes whole tiles, however little of one is the image's
                width, height = (image.tag_v2.get(tag, 1) for tag in TILE)
                _check_size(source, width, height, max_pixels)
            yield image
    except (DataError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(source, str(error).rstrip("."), max_pixels) from None
    except Exception as error:  # where bytes are damaged, Pillow's readers stumble over whatever comes next
        reason = _unidentified(source) if isinstance(error, UnidentifiedImageError) else str(error) or repr(error)
        raise DataError(
            f"{named(source)}this is not an image that can be read ({reason}). A whole JPEG, PNG, WebP, GIF, BMP, "
            "TIFF, AVIF or JPEG 2000 file was expected. Replace the file, or take it out of the data."
        ) from None


def content(path: Path) -> bytes:
    """What is in a file, undecoded; raises DataError where there is none."""
    _check_file(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: it cannot be read: {error.strerror}. A file that can be was expected.") from None


def named(source: Path | bytes) -> str:
    """How a message about a file begins; of mere content, whoever has it knows whose it is."""
    return f"{source}: " if isinstance(source, Path) else ""


def is_file(path: Path) -> bool:
    """Whether a path is that of a regular file: neither a folder nor a FIFO, which would be waited for."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises OSError for a name that is too long


def _check_file(path: Path) -> None:
    if not is_file(path):
        what = "this is no regular file" if os.path.lexists(path) else "there is no such file"
        raise DataError(f"{path}: {what}. An image file was expected. Correct the path.")


def held(image: Image.Image) -> Held:
    """How a picture was held, by its EXIF, which may be damaged where the picture is whole."""
    try:
        with _quiet():
            tags = image.getexif()
            stated, damaged = tags.get(ORIENTATION, 1), len(tags) < _stated_tags(image)
    except Exception:  # as above
        return Held(1, damaged=True)
    known = isinstance(stated, int) and 1 <= stated <= 8
    return Held(stated if known else 1, damaged or not known)


def _stated_tags(image: Image.Image) -> int:
    """How many tags there are to be in the first directory of its EXIF; raises where its header is damaged."""
    if not (exif := image.info.get("exif")):
        return 0
    content = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}[content[:2]]
    (start,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, start)
    return int(count)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep warnings of Pillow's off the terminal; the filters of warnings are those of all threads."""
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _check_size(source: Path | bytes, width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise DataError(
            f"{named(source)}it has {width}×{height} pixels. One at least was expected. Take it out of the data."
        )
    if width * height > max_pixels:
        raise _too_large(source, f"{width:,}×{height:,} pixels", max_pixels)


def _too_large(source: Path | bytes, size: str, max_pixels: int) -> DataError:
    return DataError(
        f"{named(source)}it is too large by its header: {size}. At most {max_pixels:,} pixels were expected, "
        "data.max_pixels. Make it smaller, or take it out of the data."
    )


def _unidentified(source: Path | bytes) -> str:
    with source.open("rb") if isinstance(source, Path) else BytesIO(source) as file:
        start = file.read(16)
    if not start:
        return "it is empty"
    if start[4:8] == b"ftyp" and start[8:12] in HEIC:
        return "it is HEIC, of which no reader is installed: convert it to JPEG"
    return "it begins like no kind of image"
