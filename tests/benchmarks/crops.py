"""What a random crop of 224 pixels costs: milliseconds of the CPU for one image, by how it was kept.

python tests/benchmarks/crops.py [--crops 100]

Two JPEG files are drawn here, of 12 megapixels and of ImageNet's usual size. Each way is given the same random numbers;
the ways take turns, so that what else the machine does slows all of them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from taskkit import Classes, DataSpec, Example, Sample
from taskkit_image.facts import Images
from taskkit_image.processor import ImageProcessor

SIZE, STORED, MIN_CROP = 224, 256, 0.08
SIZES = ((4000, 3000), (500, 375))


def photo(path: Path, width: int, height: int) -> Path:
    """A JPEG file with large shapes, an even slope and grain, as a photo has."""
    random = np.random.default_rng(0)
    shapes = Image.fromarray(random.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((width, height))
    grain = random.normal(0, 8, (height, width, 3))
    Image.fromarray((np.asarray(shapes) + grain).clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return path


def processor(stored_size: int | None) -> ImageProcessor:
    """The way into a network of 224 pixels, with crops of at least 8 % of the area."""
    facts = Images(3, min_crop=MIN_CROP, stored_size=stored_size)
    return ImageProcessor.for_data(DataSpec(facts, Classes(("a", "b")), "photos"), SIZE, "image.timm")


def ways(path: Path) -> dict[str, Callable[[int], object]]:
    """What is timed, each by the number that decides its crop."""
    example, of_file, of_stored = Example("photo", path), processor(None), processor(STORED)
    (stored,) = of_stored.drawable(example)

    def drawn(by: ImageProcessor, sample: Sample, number: int) -> Sample:
        return by.draw(sample, torch.Generator().manual_seed(number))

    def by_hand(number: int) -> object:
        torch.manual_seed(number)
        return v2.RandomResizedCrop(SIZE, scale=(MIN_CROP, 1.0))(Image.open(path).convert("RGB"))

    return {
        "crop of the file": lambda number: drawn(of_file, of_file.drawable(example)[0], number),
        f"crop of what was kept with stored_size={STORED}": lambda number: drawn(of_stored, stored, number),
        f"keeping it with stored_size={STORED}, once": lambda number: of_stored.drawable(example),
        "what evaluation makes of it": lambda number: of_file.encode(example),
        "Pillow and torchvision's RandomResizedCrop by hand": by_hand,
    }


def milliseconds(timed: dict[str, Callable[[int], object]], crops: int) -> dict[str, float]:
    """The mean time of the CPU of each way."""
    spent = dict.fromkeys(timed, 0.0)
    for number in range(-1, crops):  # the first is not counted
        for name, make in timed.items():
            before = time.process_time()
            make(number + 1)
            spent[name] += (time.process_time() - before) if number >= 0 else 0.0
    return {name: 1000 * seconds / crops for name, seconds in spent.items()}


def main() -> None:
    """Print a row for each way and a column for each file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--crops", type=int, default=100)
    crops = parser.parse_args().crops
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = [milliseconds(ways(photo(Path(folder) / f"{w}.jpg", w, h)), crops) for w, h in SIZES]
    print("| ms of the CPU for one image |", " | ".join(f"{w}×{h}" for w, h in SIZES), "|")
    for name in found[0]:
        print(f"| {name} |", " | ".join(f"{column[name]:.1f}" for column in found), "|")


if __name__ == "__main__":
    main()
