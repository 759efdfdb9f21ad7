"""What image data state about their inputs."""

from __future__ import annotations

from dataclasses import dataclass

from taskkit import Classes, DataSpec, Fact


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


def class_count(spec: DataSpec) -> int:
    """The number of classes that the data state."""
    assert isinstance(spec.target, Classes)
    return len(spec.target.names)
