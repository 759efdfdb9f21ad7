"""Another data set of a modality that exists: handwritten digits, of which it is asked whether they are even."""

import csv
import gzip
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from taskkit import Classes, DataModule, DataSpec, Example, Fact, Installed, Local, Prepared, Split, by_share, fetch
from taskkit_image.facts import Images

from taskkit_guides import sections

FILE = "digits.csv.gz"
SHA256 = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"
NAMES = ("even", "odd")
VAL, TEST = 0.1, 0.2


class Parity(DataModule[sections.Parity]):
    """A fifth of the digits to test and a tenth to validate, by a hash of their numbers."""

    def prepare(self, target: type[Fact]) -> Prepared:
        """Fetch and split; raises SourceError."""
        folder, origin = fetch(
            "digits",
            {FILE: SHA256},
            [Local(self.config.root), Installed("scikit-learn", root="sklearn/datasets/data")],
            licence="BSD-3-Clause",
            citation="Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, 1998",
        )
        splits: dict[Split, list[Example]] = {"train": [], "val": [], "test": []}
        for example in _digits(folder / FILE):
            splits[by_share(example.id, VAL, TEST)].append(example)
        counts = Counter(example.target for example in splits["train"])
        classes = Classes(NAMES, tuple(counts[number] for number in range(len(NAMES))))
        protocol = {"splits": f"test {TEST} and val {VAL} of all, by a hash of the number"}
        spec = DataSpec(Images(1, 8, 8), classes, f"parity-{SHA256}-val{VAL}-test{TEST}", (origin,), protocol)
        return Prepared(spec, splits)


def _digits(path: Path) -> Iterator[Example]:
    with gzip.open(path, "rt", newline="") as file:
        for row, (*pixels, digit) in enumerate(csv.reader(file)):
            image = torch.tensor([float(pixel) for pixel in pixels]).mul(255 / 16).round().to(torch.uint8)
            yield Example(f"{row:04d}", image.view(1, 8, 8), int(float(digit)) % 2)
