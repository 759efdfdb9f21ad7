"""What is wrong with labelled images: unreadable, odd ones out, doubled, leaking, skewed."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from PIL import Image
from torch import Tensor

from taskkit import DataError, DataProblem, Example, Split
from taskkit_image.decode import pixels
from taskkit_image.examples import ImageExamples

SKEW = 10
"""The commonest class may have this many times the examples of the rarest before it is worth a warning."""
NAMED = 10
"""So many examples are named in one problem."""


@dataclass(frozen=True)
class Look:
    """What one look at an example found."""

    split: Split
    id: str
    target: int
    digest: str = ""
    """A hash of its pixels and shape; empty when it cannot be read."""
    mode: str = ""
    """Pillow's word for the kind of its pixels; empty for images in memory."""
    error: str = ""

    def __str__(self) -> str:
        return f"{self.split}/{self.id}"


def problems(splits: Mapping[Split, ImageExamples], names: Sequence[str], channels: int) -> Iterator[DataProblem]:
    """Look at every image once, several at a time, and say what a person should know."""
    with ThreadPoolExecutor(min(32, 2 * (os.cpu_count() or 1))) as pool:
        looks = list(
            chain.from_iterable(
                pool.map(partial(_look, split, channels), examples) for split, examples in splits.items()
            )
        )
    yield from _unreadable(looks)
    yield from _modes(looks)
    yield from _copies(looks)
    yield from _skew(splits, names)


def _look(split: Split, channels: int, example: Example) -> Look:
    look = partial(Look, split, example.id, example.target)
    try:
        image = pixels(example.input, channels)
    except DataError as error:
        return look(error=str(error))
    content = bytes(str(tuple(image.shape)), "ascii") + image.contiguous().numpy().tobytes()
    return look(digest=hashlib.blake2b(content, digest_size=16).hexdigest(), mode=_mode(example.input))


def _mode(source: Tensor | Path) -> str:
    if isinstance(source, Tensor):
        return ""
    with Image.open(source) as file:
        return file.mode


def _unreadable(looks: Sequence[Look]) -> Iterator[DataProblem]:
    for look in looks:
        if look.error:
            yield DataProblem("error", "unreadable", look.error, (str(look),))


def _modes(looks: Sequence[Look]) -> Iterator[DataProblem]:
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
                _named([look for look in looks if look.mode == mode and look.digest]),
            )


def _copies(looks: Sequence[Look]) -> Iterator[DataProblem]:
    groups = defaultdict(list)
    for look in looks:
        if look.digest:
            groups[look.digest].append(look)
    for group in groups.values():
        if len({look.split for look in group}) > 1:
            yield DataProblem(
                "error",
                "leak",
                "The same image is in more than one split, so the score counts what was learnt by heart. "
                "Keep it in one of them.",
                _named(group),
            )
        elif len(group) > 1:
            yield DataProblem(
                "warning", "duplicate", f"The same image is {len(group)} times in one split.", _named(group)
            )
        if len({look.target for look in group}) > 1:
            yield DataProblem(
                "error", "label", "The same image has different classes. Correct its labels.", _named(group)
            )


def _skew(splits: Mapping[Split, ImageExamples], names: Sequence[str]) -> Iterator[DataProblem]:
    for split, examples in splits.items():
        counts = Counter(examples.targets)
        empty = [name for number, name in enumerate(names) if not counts[number]]
        if examples and empty:
            yield DataProblem(
                "error" if split == "train" else "warning",
                "empty",
                f"{len(empty)} of {len(names)} classes have no image in the {split} split: {', '.join(empty[:NAMED])}.",
            )
    counts = Counter(splits["train"].targets)
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if counts[most] > SKEW * counts[least]:
        yield DataProblem(
            "warning",
            "skew",
            f"Class {names[most]!r} has {counts[most]} training images, {names[least]!r} has "
            f"{counts[least]}. Accuracy "
            "hides what happens to the rare ones: set task.class_weights=balanced, and read the macro F1.",
        )


def _named(looks: Sequence[Look]) -> tuple[str, ...]:
    return tuple(str(look) for look in looks[:NAMED])
