"""Data sets that torchvision downloads, by its own names for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torchvision import datasets

from taskkit import (
    Batch,
    DataError,
    DataModule,
    DataProblem,
    DataSpec,
    Download,
    Example,
    Fact,
    Local,
    Split,
    by_share,
    fetch,
)
from taskkit_image import augment, inspection, sections
from taskkit_image.examples import ImageExamples
from taskkit_image.facts import Images


@dataclass(frozen=True)
class Known:
    """What one of torchvision's classes needs to be told, and what its images bear."""

    files: str
    """The files that it reads."""
    train: dict[str, Any]
    test: dict[str, Any]
    shift: int
    """By how many pixels a training image may be moved."""
    flip: bool = False
    """Whether its mirror image still is of its class."""


BY_FLAG: tuple[dict[str, Any], dict[str, Any]] = {"train": True}, {"train": False}
BY_NAME: tuple[dict[str, Any], dict[str, Any]] = {"split": "train"}, {"split": "test"}
KNOWN = {
    "CIFAR10": Known("cifar-10-batches-py/*", *BY_FLAG, shift=4, flip=True),
    "CIFAR100": Known("cifar-100-python/*", *BY_FLAG, shift=4, flip=True),
    "KMNIST": Known("KMNIST/raw/*-ubyte", *BY_FLAG, shift=2),
    "MNIST": Known("MNIST/raw/*-ubyte", *BY_FLAG, shift=2),
    "STL10": Known("stl10_binary/*", *BY_NAME, shift=12, flip=True),
    "SVHN": Known("*_32x32.mat", *BY_NAME, shift=2),
    "USPS": Known("usps*.bz2", *BY_FLAG, shift=1),
}


class TorchvisionData(DataModule):
    """The official test split; a part of the training split, chosen by a hash of the number, to validate."""

    config: sections.TorchvisionData

    def prepare(self, target: type[Fact]) -> DataSpec:
        """Download what is not there, which torchvision verifies, and hold out the validation split."""
        name, known = self.config.dataset, KNOWN[self.config.dataset]
        download = Download(f"torchvision {name}", partial(_download, name))
        folder, origin = fetch(f"torchvision-{name}", {known.files: None}, [Local(self.config.root), download])
        train, self.names = _read(name, folder, "train")
        test, _ = _read(name, folder, "test")
        split = [by_share(example, self.config.val_share, test=0) for example in train.ids]
        self.splits: dict[Split, ImageExamples] = {
            "train": train.take([number for number, chosen in enumerate(split) if chosen == "train"]),
            "val": train.take([number for number, chosen in enumerate(split) if chosen == "val"]),
            "test": test,
        }
        self.channels, height, width = train[0].input.shape
        fingerprint = f"torchvision-{name}-{origin.sha256}-{self.config.val_share}"
        return DataSpec(
            Images(self.channels, height, width),
            self.splits["train"].classes(self.names),
            fingerprint,
            (origin,),
        )

    def examples(self, split: Split) -> Sequence[Example]:
        """The images of a split."""
        return self.splits[split]

    def augment(self, batch: Batch) -> Batch:
        """Move the images, and mirror them where that makes sense, if `augment` is set."""
        if not self.config.augment:
            return batch
        known = KNOWN[self.config.dataset]
        images = augment.move(batch["image"], known.shift)
        return {**batch, "image": augment.flip(images) if known.flip else images}

    def inspect(self) -> Iterable[DataProblem]:
        """Look for duplicates, leaks and skew."""
        return inspection.problems(self.splits, self.names, self.channels)


def _download(name: str, folder: Path) -> None:
    for arguments in (KNOWN[name].train, KNOWN[name].test):
        getattr(datasets, name)(str(folder), download=True, **arguments)


def _read(name: str, folder: Path, split: Split) -> tuple[ImageExamples, list[str]]:
    """The examples of a split and the names of the classes."""
    known = KNOWN[name]
    try:
        dataset = getattr(datasets, name)(str(folder), **(known.train if split == "train" else known.test))
    except (RuntimeError, OSError, ValueError, ImportError) as error:
        raise DataError(
            f"{folder}: torchvision cannot read {name} from it: {error}. The files that torchvision "
            "downloads were expected. Replace them, or leave data.root out."
        ) from None
    images = torch.as_tensor(dataset.data)
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[-1] == 3:
        images = images.permute(0, 3, 1, 2)
    labels = dataset.targets if hasattr(dataset, "targets") else dataset.labels
    targets = [int(label) for label in labels]
    names = list(getattr(dataset, "classes", None) or map(str, range(max(targets) + 1)))
    return ImageExamples(images, targets, [f"{split}-{number:05d}" for number in range(len(targets))]), names
