"""Data sets that torchvision downloads, by its own names for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torchvision import datasets

from taskkit import Batch, DataError, DataModule, Download, Fact, Local, Prepared, Split, by_share, fetch
from taskkit_image import augment, sections
from taskkit_image.examples import ImageExamples
from taskkit_image.facts import Images
from taskkit_image.prepared import prepared


@dataclass(frozen=True)
class Known:
    """The arguments of one of torchvision's classes, and which distortions its images bear."""

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


class TorchvisionData(DataModule[sections.TorchvisionData]):
    """The official test split; a part of the training split, chosen by a hash of the number, to validate."""

    augment_settings = ("augment",)

    def prepare(self, target: type[Fact]) -> Prepared:
        """Download what is not there, which torchvision verifies, and hold out the validation split.

        Raises SourceError when it cannot be had and DataError when torchvision cannot read it.
        """
        name, known = self.config.dataset, KNOWN[self.config.dataset]
        download = Download(f"torchvision {name}", partial(_download, name))
        folder, origin = fetch(f"torchvision-{name}", {known.files: None}, [Local(self.config.root), download])
        train, names = _read(name, folder, "train")
        test, _ = _read(name, folder, "test")
        chosen = [by_share(example, self.config.val_share, test=0) for example in train.ids]
        splits: dict[Split, ImageExamples] = {
            "train": train.take([number for number, split in enumerate(chosen) if split == "train"]),
            "val": train.take([number for number, split in enumerate(chosen) if split == "val"]),
            "test": test,
        }
        fingerprint = f"torchvision-{name}-{origin.sha256}-{self.config.val_share}"
        return prepared(splits, Images(*train[0].input.shape), names, fingerprint, origin)

    def augment(self, batch: Batch) -> Batch:
        """Move the images, and mirror them where that makes sense, if `augment` is set."""
        if not self.config.augment:
            return batch
        known = KNOWN[self.config.dataset]
        images = augment.move(batch["image"], known.shift)
        return {**batch, "image": augment.flip(images) if known.flip else images}


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
            f"{folder}: torchvision cannot read {name} from it: {str(error).rstrip('.')}. The files that torchvision "
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
