"""From image files to uint8 tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from taskkit import DataError
from taskkit_image.facts import BACKGROUND, MAX_PIXELS
from taskkit_image.opening import held, opened

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


def pixels(
    source: Tensor | Path, channels: int, *, max_pixels: int = MAX_PIXELS, background: str = BACKGROUND
) -> Tensor:
    """The pixels of an image or an image file: uint8 (channels, height, width), 1 channel (grey) or 3 (RGB).

    A file is turned upright as its EXIF orientation says, transparency shows the `background`, 16 bits become 8, and
    of several pictures the first counts. Raises DataError when a file cannot be read, and for one of more than
    `max_pixels` before it is decoded.
    """
    if isinstance(source, Path):
        return read_image(source, channels, max_pixels, background)
    return to_channels(source, channels)


def read_image(path: Path, channels: int, max_pixels: int, background: str) -> Tensor:
    """The uint8 pixels (channels, height, width) of a file; while it is read, it takes at most 20 bytes a pixel."""
    with opened(path, max_pixels) as image:
        image.load()
        # After its pixels, since a PNG file may state it behind them; those of TIFF are turned by Pillow.
        turn = None if image.format == "TIFF" else TURNS.get(held(image).orientation)
        flat = _converted(_opaque(_eight_bits(path, image), background), "L" if channels == 1 else "RGB")
        upright: Tensor = pil_to_tensor(flat if turn is None else flat.transpose(turn))
    return upright


def to_channels(image: Tensor, channels: int) -> Tensor:
    """Make a grey image (1, height, width) of an RGB one, by the luma weights of ITU-R 601, or the other way round."""
    if image.shape[0] == channels:
        return image
    if channels == 3:
        return image.expand(3, -1, -1)
    luma = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    return (image * luma).sum(dim=0, keepdim=True).round().to(torch.uint8)


def _eight_bits(path: Path, image: Image.Image) -> Image.Image:
    """The image itself, or one of 8 bits where it is of 16; raises DataError for numbers of no known range."""
    if image.mode == "F":
        raise _without_range(path, "floating-point numbers")
    if not image.mode.startswith("I"):
        return image
    deep = np.asarray(image)
    if deep.min() < 0 or deep.max() > 65535:
        raise _without_range(path, f"whole numbers from {deep.min():,} to {deep.max():,}")
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


def _without_range(path: Path, what: str) -> DataError:
    return DataError(
        f"{path}: its pixels are {what}, of no known range. 8 or 16 bits a channel were expected. Convert it, for "
        "instance to PNG."
    )
