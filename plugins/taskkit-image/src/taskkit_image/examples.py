"""A sequence of labelled images, in memory or in files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import torch
from torch import Tensor

from taskkit import Classes, Example, Split, stratified


@dataclass(frozen=True)
class Files(Sequence[Path]):
    """Files of a folder; a path takes ten times the memory of a name, and is made when it is asked for."""

    root: Path
    names: Sequence[str]
    """The path of each, relative to the root or absolute."""

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Path]: ...
    def __getitem__(self, index: int | slice) -> Path | Sequence[Path]:
        if isinstance(index, slice):
            return Files(self.root, self.names[index])
        return self.root / self.names[index]


@dataclass(frozen=True)
class ImageExamples(Sequence[Example]):
    """Images with the number of the class of each and an id that is unique among them."""

    images: Tensor | Sequence[Path]
    """uint8 (examples, channels, height, width), or the image files."""
    targets: list[int]
    ids: list[str]

    def __len__(self) -> int:
        return len(self.targets)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        return Example(self.ids[index], self.images[index], self.targets[index])

    def take(self, numbers: Sequence[int]) -> ImageExamples:
        """Those of some numbers, in that order."""
        if isinstance(self.images, Tensor):
            images: Tensor | Sequence[Path] = self.images[torch.tensor(numbers, dtype=torch.long)]
        else:
            images = [self.images[number] for number in numbers]
        return ImageExamples(
            images, [self.targets[number] for number in numbers], [self.ids[number] for number in numbers]
        )

    def stratified(self, val: int, test: int = 0) -> dict[Split, ImageExamples]:
        """All of them in splits: of each class `val` and `test` are held out, by a hash of their ids."""
        numbers = stratified(self.ids, self.targets, val=val, test=test)
        return {split: self.take(chosen) for split, chosen in numbers.items()}

    def classes(self, names: Sequence[str]) -> Classes:
        """The classes of these names, with how many of these examples each has."""
        counts = torch.bincount(torch.tensor(self.targets, dtype=torch.long), minlength=len(names))
        return Classes(tuple(names), tuple(counts.tolist()))
