"""scikit-learn's digits: 1 797 of 8×8 pixels, small enough for tests and first tries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from taskkit import DataModule, DataProblem, DataSpec, Example, Fact, Installed, Local, Split, fetch, stratified
from taskkit_image import inspection, sections
from taskkit_image.examples import ImageExamples
from taskkit_image.facts import Images

NAMES = tuple("0123456789")
FILE = "digits.csv.gz"
SHA256 = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"


class Digits(DataModule):
    """Of each class 18 digits to validate and 36 to test, and the rest, about 125, to train on."""

    config: sections.Digits

    def prepare(self, target: type[Fact]) -> DataSpec:
        """Find the file that scikit-learn installs, and split it by a hash of the row number."""
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
        held_out = stratified(digits.ids, digits.targets, val=18, test=36)
        self.splits = {split: digits.take(numbers) for split, numbers in held_out.items()}
        classes = self.splits["train"].classes(NAMES)
        return DataSpec(Images(1, 8, 8), classes, f"digits-{SHA256[:16]}-val18-test36", (origin,))

    def examples(self, split: Split) -> Sequence[Example]:
        """The digits of a split."""
        return self.splits[split]

    def inspect(self) -> Iterable[DataProblem]:
        """Look for duplicates, leaks and skew."""
        return inspection.problems(self.splits, NAMES, channels=1)
