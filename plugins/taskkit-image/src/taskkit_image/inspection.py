"""What is wrong with labelled images: unreadable, odd ones out, doubled, leaking, skewed."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from taskkit import (
    Classes,
    DataError,
    DataProblem,
    Example,
    ExampleLook,
    Split,
    find_duplicates,
    find_imbalance,
    first_ids,
)
from taskkit_image.decode import pixels
from taskkit_image.examples import ImageExamples
from taskkit_image.facts import MOST_PIXELS, Images
from taskkit_image.opening import opened


@dataclass(frozen=True)
class ImageLook(ExampleLook):
    """What one look at an image found; the digest is that of its pixels and shape."""

    mode: str = ""
    """Pillow's word for the kind of its pixels; empty for images in memory."""
    size: tuple[int, ...] = ()
    """Channels, height and width; empty where it cannot be read."""
    is_grey: bool = False
    """Whether its channels are alike."""
    error: str = ""


def problems(splits: Mapping[Split, ImageExamples], classes: Classes, images: Images) -> Iterator[DataProblem]:
    """Look at every image once, several at a time, and say what a person should know.

    Images count as the same when they are so with the channels and the background that the facts about them state.
    """
    with ThreadPoolExecutor(min(32, 2 * (os.cpu_count() or 1))) as pool:
        looks = list(
            chain.from_iterable(pool.map(partial(_look, split, images), examples) for split, examples in splits.items())
        )
    yield from _unreadable(looks)
    yield from _sizes(looks)
    yield from _modes(looks)
    yield from find_duplicates(looks, "image")
    yield from find_imbalance({split: examples.targets for split, examples in splits.items()}, classes, "image")


def _look(split: Split, images: Images, example: Example) -> ImageLook:
    try:
        image = pixels(example.input, images.channels, max_pixels=images.max_pixels, background=images.background)
    except DataError as error:
        return ImageLook(split, example.id, None, example.target, error=str(error))
    content = bytes(str(tuple(image.shape)), "ascii") + image.contiguous().numpy().tobytes()
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    return ImageLook(
        split,
        example.id,
        digest,
        example.target,
        mode=_mode(example.input),
        size=tuple(image.shape),
        is_grey=all(torch.equal(channel, image[0]) for channel in image[1:]),
    )


def _mode(source: Tensor | Path) -> str:
    if isinstance(source, Tensor):
        return ""
    with opened(source, MOST_PIXELS) as file:
        return file.mode


def _unreadable(looks: Sequence[ImageLook]) -> Iterator[DataProblem]:
    for look in looks:
        if look.error:
            yield DataProblem("error", "unreadable", look.error, (str(look),))


def _sizes(looks: Sequence[ImageLook]) -> Iterator[DataProblem]:
    """How many can be read, and how large these are."""
    sizes = [look.size for look in looks if look.size]
    if not sizes:
        return
    _, heights, widths = zip(*sizes, strict=True)
    usual, count = Counter(zip(widths, heights, strict=True)).most_common(1)[0]
    said = f"{usual[0]} by {usual[1]} pixels"
    if count < len(sizes):
        said = (
            f"{min(widths)} to {max(widths)} pixels wide, {min(heights)} to {max(heights)} high, {median(widths):g} by "
            f"{median(heights):g} in the middle"
        )
    grey = sum(look.is_grey for look in looks if look.size)
    colours = (
        "coloured" if not grey else "grey" if grey == len(sizes) else f"{grey:,} of them grey, the others coloured"
    )
    yield DataProblem("info", "images", f"{len(sizes):,} of {len(looks):,} images can be read: {said}, {colours}.")


def _modes(looks: Sequence[ImageLook]) -> Iterator[DataProblem]:
    modes = Counter(look.mode for look in looks if look.digest)
    if len(modes) < 2:
        return
    usual = modes.most_common(1)[0][0]
    for mode, count in sorted(modes.items()):
        if mode != usual:
            yield DataProblem(
                "warning",
                "mode",
                f"{count} of {modes.total()} images are {mode}, unlike most, which are {usual}. They will "
                "be converted; look whether they belong here.",
                first_ids([look for look in looks if look.mode == mode and look.digest]),
            )
