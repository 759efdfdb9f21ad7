"""scikit-learn's digits: 1 797 of 8×8 pixels, small enough for tests and first tries."""

from __future__ import annotations

import numpy as np
import torch

from taskkit import DataModule, Fact, Installed, Local, Prepared, fetch
from taskkit_image import sections
from taskkit_image.examples import ImageExamples
from taskkit_image.facts import Images
from taskkit_image.prepared import prepared

NAMES = tuple("0123456789")
FILE = "digits.csv.gz"
SHA256 = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"


class Digits(DataModule[sections.Digits]):
    """Of each class 18 digits to validate and 36 to test, and the rest, about 125, to train on."""

    def prepare(self, target: type[Fact]) -> Prepared:
        """Find the file that scikit-learn installs, and split it by a hash of the row number; raises SourceError."""
        folder, origin = fetch(
            "digits",
            {FILE: SHA256},
            [Local(self.config.root), Installed("scikit-learn", root="sklearn/datasets/data")],
            licence="BSD-3-Clause",
            citation="Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, 1998",
        )
        rows = np.loadtxt(folder / FILE, dtype=np.uint8, delimiter=",")  # 64 pixels from 0 to 16, then the digit
        brightness = (rows[:, :-1].astype(np.float32) * (255 / 16)).round().astype(np.uint8)
        images = torch.from_numpy(brightness).view(-1, 1, 8, 8)
        digits = ImageExamples(images, rows[:, -1].tolist(), [f"{row:04d}" for row in range(len(rows))])
        splits = digits.stratified(val=18, test=36)
        return prepared(splits, Images(1, 8, 8), NAMES, f"digits-{SHA256[:16]}-val18-test36", origin)
