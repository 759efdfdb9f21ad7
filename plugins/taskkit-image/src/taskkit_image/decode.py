"""From image files to uint8 tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image, read_file
from torchvision.transforms.v2.functional import pil_to_tensor

from taskkit import DataError

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


def pixels(source: Tensor | Path, channels: int) -> Tensor:
    """The pixels of an image or an image file: uint8 (channels, height, width), 1 channel (grey) or 3 (RGB).

    A file is turned upright as its EXIF orientation says, an alpha channel is dropped, 16 bits become 8,
    and of a moving image the first frame counts. Raises DataError when a file cannot be read.
    """
    return to_channels(read_image(source, channels) if isinstance(source, Path) else source, channels)


def read_image(path: Path, channels: int) -> Tensor:
    """The uint8 pixels (channels, height, width) of a file that torchvision can decode, or else Pillow."""
    mode = ImageReadMode.GRAY if channels == 1 else ImageReadMode.RGB
    try:
        image: Tensor = decode_image(read_file(str(path)), mode, apply_exif_orientation=True)
    except RuntimeError as error:
        return _read_with_pillow(path, channels, str(error).partition(".")[0])
    if image.ndim == 4:
        image = image[0]
    return (image.int() >> 8).to(torch.uint8) if image.dtype == torch.uint16 else image


def to_channels(image: Tensor, channels: int) -> Tensor:
    """Make a grey image (1, height, width) of an RGB one, by the luma weights of ITU-R 601, or the other way round."""
    if image.shape[0] == channels:
        return image
    if channels == 3:
        return image.expand(3, -1, -1)
    luma = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    return (image * luma).sum(dim=0, keepdim=True).round().to(torch.uint8)


def _read_with_pillow(path: Path, channels: int, refusal: str) -> Tensor:
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I"):
                image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
            if image.mode == "F":
                raise DataError(
                    f"{path}: its pixels are floating-point numbers of no known range. "
                    "8 or 16 bits a channel were expected. Convert it, for instance to PNG."
                )
            decoded: Tensor = pil_to_tensor(image.convert("L" if channels == 1 else "RGB"))
            return decoded
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file. An image file was expected. Correct the path.") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = refusal if isinstance(error, UnidentifiedImageError) else str(error)
        raise DataError(
            f"{path}: this is not an image that can be read ({reason}). A whole PNG, JPEG, WebP, GIF, BMP "
            "or TIFF was expected. Replace the file, or take it out of the data."
        ) from None
