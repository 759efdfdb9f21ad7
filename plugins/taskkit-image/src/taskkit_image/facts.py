"""What image data state about their inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taskkit import Attachment, Fact

MAX_PIXELS = 89_478_485
"""Those of a picture of 268 MB, from which on Pillow warns of files that are made to fill a memory."""
MOST_PIXELS = 2 * MAX_PIXELS
"""Where Pillow refuses a file."""
BACKGROUND = "white"
"""What shows through where a picture is transparent, as on paper and in most browsers."""


@dataclass(frozen=True)
class Images(Fact):
    """Each input is an image: a uint8 tensor (channels, height, width), or the Path of an image file.

    `taskkit_image.decode.pixels` makes the first of either.
    """

    channels: int
    """1: grey, 3: red, green and blue."""
    height: int | None = None
    """Pixels; None when the images differ."""
    width: int | None = None
    """Pixels; None when the images differ."""
    max_pixels: int = MAX_PIXELS
    """A file that states more is not decoded."""
    background: str = BACKGROUND
    """What shows through where a file is transparent, as `PIL.ImageColor` names colours."""
    min_crop: float | None = None
    """In training, the smallest share of an image's area that is cut out of it at random before it is resized; None: it
    is resized as it is in evaluation."""
    stored_size: int | None = None
    """For that, images are kept with a shorter side of so many pixels, if it is longer; None: as they are."""

    def tensors(self) -> Mapping[str, str]:
        """`image`: its channels and size are those that the network takes, which may differ from those of the data."""
        return {"image": "uint8 (batch, channels, height, width)"}

    def show(self, value: Any) -> Attachment:
        """A thumbnail of an image, a tensor (channels, height, width) or a file; raises DataError as `pixels` does."""
        from taskkit_image.thumbnail import thumbnail

        return thumbnail(value, self)

    def agrees(self, other: Fact) -> bool:
        """Whether the other are images too: whatever their sizes, they are brought to that of the network."""
        return isinstance(other, Images)
