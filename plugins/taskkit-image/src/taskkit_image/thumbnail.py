"""Small pictures of images, for people."""

from __future__ import annotations

import io
from pathlib import Path

from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

from taskkit import Attachment
from taskkit_image.decode import pixels
from taskkit_image.facts import Images

SIDE = 192
"""Pixels that neither side of a thumbnail exceeds."""
SMALL = 64
"""An image of no larger side is kept to the pixel."""


def thumbnail(value: Tensor | Path, images: Images) -> Attachment:
    """An image (channels, height, width), or its file, as a PNG where it is small and as a JPEG where it is not."""
    found = pixels(value, images.channels, max_pixels=images.max_pixels, background=images.background, enough=2 * SIDE)
    picture, file = to_pil_image(found), io.BytesIO()
    if max(picture.size) <= SMALL:
        picture.save(file, "PNG", optimize=True)
        return Attachment(file.getvalue(), ".png")
    picture.thumbnail((SIDE, SIDE))
    picture.save(file, "JPEG", quality=82, optimize=True)
    return Attachment(file.getvalue(), ".jpg")
