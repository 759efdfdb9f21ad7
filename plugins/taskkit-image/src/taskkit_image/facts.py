"""What image data state about their inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from taskkit import Fact


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

    def tensors(self) -> Mapping[str, str]:
        """`image`: its channels and size are those that the network takes, which may differ from those of the data."""
        return {"image": "uint8 (batch, channels, height, width)"}

    def agrees(self, other: Fact) -> bool:
        """Whether the other are images too: whatever their sizes, they are brought to that of the network."""
        return isinstance(other, Images)
