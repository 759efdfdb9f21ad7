"""From images and image files to uint8 tensors."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from taskkit_image import arrays
from taskkit_image.facts import BACKGROUND, MAX_PIXELS


def pixels(
    source: Tensor | Path,
    channels: int,
    *,
    max_pixels: int = MAX_PIXELS,
    background: str = BACKGROUND,
    enough: int | None = None,
) -> Tensor:
    """The pixels of an image or an image file: uint8 (channels, height, width); as `arrays.pixels`, which raises."""
    found = arrays.pixels(array(source), channels, max_pixels=max_pixels, background=background, enough=enough)
    return tensor(found)


def array(source: Tensor | Path) -> arrays.Pixels | Path:
    """An image as an array; the path of a file as it is."""
    return source if isinstance(source, Path) else source.numpy()


def tensor(image: arrays.Pixels) -> Tensor:
    """An image as a tensor."""
    return torch.from_numpy(image if image.flags.writeable and image.flags.c_contiguous else image.copy())
