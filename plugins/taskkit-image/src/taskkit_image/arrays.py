"""From images and image files to arrays of one size, without torch: what every way into an image network does."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from taskkit import ArrayProcessor, Arrays, DataError, DataSpec, Example
from taskkit_image import sections
from taskkit_image.facts import BACKGROUND, MAX_PIXELS
from taskkit_image.opening import held, named, opened
from taskkit_image.reading import read_images

Pixels = NDArray[np.uint8]
Interpolation = Literal["nearest", "bilinear", "bicubic"]

ENOUGH = 2.0
"""How much larger than in the end a picture is decoded at least: below that, what is left out begins to show."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings a picture upright, by its EXIF orientation."""
ON_ITS_SIDE = {TURNS[orientation] for orientation in (5, 6, 7, 8)}
"""The turns that make height of width."""


class Box(NamedTuple):
    """A part of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int


@dataclass
class ImageShape:
    """What an image becomes: one size and number of channels.

    It is resized, its shape kept, until its middle `crop` (a share of the shorter side) fills `height` and `width`. A
    JPEG file is decoded at an eighth, a quarter or half of its size where that leaves twice what is needed. A file of
    more than `max_pixels` is refused, and an image so long and thin that it would have more once it is resized;
    `background` shows through where one is transparent.
    """

    channels: int
    height: int
    width: int
    crop: float = 1.0
    interpolation: Interpolation = "bilinear"
    max_pixels: int = MAX_PIXELS
    background: str = BACKGROUND

    def of(self, source: Pixels | Path) -> Pixels:
        """An image, uint8 (channels, height, width), or an image file in this shape; raises DataError."""
        enough = math.ceil(ENOUGH * max(self.height, self.width) / self.crop)
        image = pixels(source, self.channels, max_pixels=self.max_pixels, background=self.background, enough=enough)
        height, width = image.shape[-2:]
        if self.crop == 1 and (height, width) == (self.height, self.width):
            return np.ascontiguousarray(image)
        scale = max(self.height / height, self.width / width) / self.crop
        size = max(self.height, round(height * scale)), max(self.width, round(width * scale))
        if size[0] * size[1] > max(self.max_pixels, self.height * self.width / self.crop**2):
            raise DataError(
                f"{width:,}×{height:,} pixels would become {size[1]:,}×{size[0]:,}. At most {self.max_pixels:,} were "
                "expected, data.max_pixels: it is long and thin. Cut out what matters, or take it out of the data."
            )
        resized = _resized(image, size, self.interpolation)
        top, left = (round((have - want) / 2) for have, want in zip(size, (self.height, self.width), strict=True))
        return np.ascontiguousarray(resized[:, top : top + self.height, left : left + self.width])

    def kept(self, source: Pixels | Path, side: int | None) -> Pixels:
        """An image, as `of` takes it, in its own shape, with a shorter side of `side` pixels if it is longer."""
        enough = None if side is None else math.ceil(ENOUGH * side)
        image = pixels(source, self.channels, max_pixels=self.max_pixels, background=self.background, enough=enough)
        height, width = image.shape[-2:]
        if side is None or min(height, width) <= side:
            return np.ascontiguousarray(image)
        scale = side / min(height, width)
        return np.ascontiguousarray(_resized(image, (round(height * scale), round(width * scale)), self.interpolation))


class ImageArrays(ArrayProcessor):
    """The way into every image network, without torch."""

    predict_options = sections.ReadImages

    def __init__(self, section: Any, spec: DataSpec, state: Mapping[str, Any]) -> None:
        self.shape = ImageShape(**state)

    def read(self, source: str, options: sections.ReadImages) -> Sequence[Example]:
        """The examples of an image file, of a folder of them, or of a table that lists them."""
        return read_images(source, options)

    def encode(self, example: Example) -> Sequence[Arrays]:
        """`image`: uint8 (channels, height, width)."""
        return [{"image": self.shape.of(example.input)}]


def pixels(
    source: Pixels | Path,
    channels: int,
    *,
    max_pixels: int = MAX_PIXELS,
    background: str = BACKGROUND,
    enough: int | None = None,
) -> Pixels:
    """The pixels of an image or an image file: uint8 (channels, height, width), 1 channel (grey) or 3 (RGB).

    A file is turned upright as its EXIF orientation says, transparency shows the `background`, 16 bits become 8, and
    of several pictures the first counts. Where `enough` pixels for the height and the width will do, a JPEG file may be
    decoded at an eighth, a quarter or half of its size, which is quicker. Raises DataError when a file cannot be read,
    and for one of more than `max_pixels` before it is decoded.
    """
    if isinstance(source, Path):
        return read_image(source, channels, max_pixels, background, enough)
    return to_channels(source, channels)


def read_image(path: Path, channels: int, max_pixels: int, background: str, enough: int | None = None) -> Pixels:
    """The uint8 pixels (channels, height, width) of a file; while it is read, it takes at most 20 bytes a pixel."""
    with opened(path, max_pixels) as image:
        if enough is not None:
            image.draft(None, (enough, enough))  # Of JPEG alone; others stay as they are.
        image.load()
        turn = _turn(image)
        flat = _flat(_eight_bits(path, image), channels, background)
        return _array(flat if turn is None else flat.transpose(turn))


def read_part(file: Path | bytes, shape: ImageShape, choose: Callable[[int, int], Box]) -> Pixels:
    """A part of a file in a shape, which it fills: uint8 (channels, height, width).

    `choose` gets the height and the width of the picture as it lies in its file. A JPEG file is decoded at an eighth, a
    quarter or half of its size where that leaves the part twice as large as the shape. Raises DataError as `pixels`
    does.
    """
    with opened(file, shape.max_pixels) as image:
        width, height = image.size
        box = choose(height, width)
        enough = math.ceil(ENOUGH * max(shape.height, shape.width))
        image.draft(None, (math.ceil(enough * width / box.width), math.ceil(enough * height / box.height)))
        image.load()
        across, down, turn = image.width / width, image.height / height, _turn(image)
        left, right = across * box.left, across * (box.left + box.width)
        top, bottom = down * box.top, down * (box.top + box.height)
        corner = math.floor(left), math.floor(top)
        cut = _eight_bits(file, image).crop((*corner, math.ceil(right), math.ceil(bottom)))
        size = (shape.height, shape.width) if turn in ON_ITS_SIDE else (shape.width, shape.height)
        resized = _flat(cut, shape.channels, shape.background).resize(
            size,
            Image.Resampling[shape.interpolation.upper()],
            (left - corner[0], top - corner[1], right - corner[0], bottom - corner[1]),
        )
        return np.ascontiguousarray(_array(resized if turn is None else resized.transpose(turn)))


def to_channels(image: Pixels, channels: int) -> Pixels:
    """Make a grey image (1, height, width) of an RGB one, by the luma weights of ITU-R 601, or the other way round."""
    if image.shape[0] == channels:
        return image
    if channels == 3:
        return np.broadcast_to(image, (3, *image.shape[1:]))
    luma = np.array([0.299, 0.587, 0.114], np.float32)[:, None, None]
    grey: Pixels = (image * luma).sum(axis=0, keepdims=True).round().astype(np.uint8)
    return grey


def part(image: Pixels, shape: ImageShape, box: Box) -> Pixels:
    """A part of an image (channels, height, width) in a shape, which it fills."""
    cut = image[:, box.top : box.top + box.height, box.left : box.left + box.width]
    return np.ascontiguousarray(_resized(cut, (shape.height, shape.width), shape.interpolation))


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What brings a file upright whose pixels were decoded; None: it is."""
    # After its pixels, since a PNG file may state it behind them; those of TIFF are turned by Pillow.
    return None if image.format == "TIFF" else TURNS.get(held(image).orientation)


def _flat(picture: Image.Image, channels: int, background: str) -> Image.Image:
    """A picture, opaque, in colour or grey."""
    return _converted(_opaque(picture, background), "L" if channels == 1 else "RGB")


def _array(picture: Image.Image) -> Pixels:
    """The pixels (channels, height, width) of a picture; those of one in colour lie pixel by pixel, as it has them."""
    found = np.array(picture)
    return found[None] if found.ndim == 2 else found.transpose(2, 0, 1)


def _resized(image: Pixels, size: tuple[int, int], interpolation: Interpolation) -> Pixels:
    """An image (channels, height, width) of another height and width."""
    if interpolation == "nearest":
        rows, columns = (np.arange(want) * have // want for have, want in zip(image.shape[1:], size, strict=True))
        return image[:, rows[:, None], columns]
    way = Image.Resampling[interpolation.upper()]
    by_pixel = image.transpose(1, 2, 0)
    if len(image) == 3 and by_pixel.flags.c_contiguous:
        return _array(Image.fromarray(by_pixel).resize(size[::-1], way))
    return np.stack([np.asarray(Image.fromarray(each).resize(size[::-1], way)) for each in image])


def _eight_bits(source: Path | bytes, image: Image.Image) -> Image.Image:
    """The image itself, or one of 8 bits where it is of 16; raises DataError for numbers of no known range."""
    if image.mode == "F":
        raise _without_range(source, "floating-point numbers")
    if not image.mode.startswith("I"):
        return image
    deep = np.asarray(image)
    if deep.min() < 0 or deep.max() > 65535:
        raise _without_range(source, f"whole numbers from {deep.min():,} to {deep.max():,}")
    grey = Image.fromarray((deep >> 8).astype(np.uint8))
    if (hidden := image.info.get("transparency")) is None:
        return grey
    return Image.merge("LA", (grey, Image.fromarray(np.where(deep == hidden, 0, 255).astype(np.uint8))))


def _opaque(image: Image.Image, background: str) -> Image.Image:
    """The image itself, or on the background where it is transparent."""
    if not image.has_transparency_data:
        return image
    ground = Image.new("RGB", image.size, background)
    layer = image.convert("RGBA")
    ground.paste(layer, mask=layer)
    return ground


def _converted(image: Image.Image, mode: str) -> Image.Image:
    """The image in this mode; itself where it is already, of which Pillow would make a copy."""
    return image if image.mode == mode else image.convert(mode)


def _without_range(source: Path | bytes, what: str) -> DataError:
    return DataError(
        f"{named(source)}its pixels are {what}, of no known range. 8 or 16 bits a channel were expected. Convert it, "
        "for instance to PNG."
    )
