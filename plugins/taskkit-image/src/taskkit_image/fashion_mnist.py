"""Fashion-MNIST: seventy thousand pictures of clothes (Xiao et al., 2017)."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import torch
from torch import Tensor

from taskkit import Batch, DataError, DataModule, Debian, Download, Fact, Local, Prepared, fetch
from taskkit_image import augment, sections
from taskkit_image.examples import ImageExamples
from taskkit_image.facts import Images
from taskkit_image.prepared import prepared

NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
# Of what is in the files: packages compress them differently.
SHA256 = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
DEB = "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0"


class FashionMnist(DataModule[sections.FashionMnist]):
    """55 000 pictures to train on, 5 000 to validate and the official 10 000 to test, all classes alike."""

    augment_settings = ("augment",)

    def prepare(self, target: type[Fact]) -> Prepared:
        """Fetch the four files; hold out a part of the training pictures by a hash of their number.

        Raises SourceError when they cannot be had and DataError when one is damaged.
        """
        folder, origin = fetch(
            "fashion-mnist",
            dict.fromkeys(SHA256),
            [
                Local(self.config.root),
                Debian(
                    "dataset-fashion-mnist",
                    "0.0~git20200523.55506a9-1",
                    sha256=DEB,
                    root="usr/share/datasets/fashion-mnist",
                ),
                Download("torchvision FashionMNIST", _download, root="FashionMNIST/raw"),
            ],
            licence="MIT",
            citation="Xiao et al., Fashion-MNIST, 2017, arXiv:1708.07747",
        )
        splits = {**_read(folder, "train").stratified(val=500), "test": _read(folder, "t10k")}
        fingerprint = f"fashion-mnist-{SHA256['train-images-idx3-ubyte.gz'][:16]}-val500"
        return prepared(splits, Images(1, 28, 28), NAMES, fingerprint, origin)

    def augment(self, batch: Batch) -> Batch:
        """Move and mirror the pictures and erase parts of them, if `augment` is set."""
        if not self.config.augment:
            return batch
        return {**batch, "image": augment.erase(augment.flip(augment.move(batch["image"], 4)), share=0.33)}


def _download(folder: Path) -> None:
    from torchvision.datasets import FashionMNIST

    FashionMNIST(str(folder), download=True)


def _read(folder: Path, part: str) -> ImageExamples:
    images = _content(folder, f"{part}-images-idx3-ubyte.gz", header=16).view(-1, 1, 28, 28)
    targets = _content(folder, f"{part}-labels-idx1-ubyte.gz", header=8).tolist()
    return ImageExamples(images, targets, [f"{part}-{number:05d}" for number in range(len(targets))])


def _content(folder: Path, name: str, header: int) -> Tensor:
    """The bytes of an IDX file after its header."""
    try:
        content = bytearray(gzip.decompress((folder / name).read_bytes()))
    except (OSError, EOFError) as error:
        raise DataError(f"{folder / name}: {error}. A gzip file was expected. Remove it and run again.") from None
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != SHA256[name]:
        raise DataError(
            f"{folder / name}: the sha256 of its content is {sha256}, not {SHA256[name]}. The published "
            "file was expected. Replace it, or leave data.root out to fetch it."
        )
    return torch.frombuffer(content, dtype=torch.uint8, offset=header)
