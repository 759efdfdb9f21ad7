"""What a run costs before and around two steps, by how many examples there are: seconds of the CPU and memory.

python tests/benchmarks/scale.py run --out docs/results/scale-cpu.json [--largest 1.0] [--only images,texts]
python tests/benchmarks/scale.py page

Data are made here: JPEG files of noise, rows of drawn words, events of a long-tailed catalogue. A run reads them, fits
and encodes what is needed, takes two steps, validates and tests one batch, and writes its directory; nothing is cached.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from results import Benchmark, Result, setting, spent

SHORT = ("trainer.max_steps=2", "trainer.max_epochs=null", "loader.cache=false")
LIMITS = ("trainer.limit_val_batches=1", "trainer.limit_test_batches=1")
SIZES = {
    "images": (1_000, 10_000, 100_000),
    "lazy images": (1_000, 10_000, 100_000),
    "texts": (1_000, 10_000, 100_000, 1_000_000),
    "events": (10_000, 100_000, 1_000_000, 10_000_000),
}
RECIPES = {
    "images": """\
task: {name: image.classification}
model: {name: image.resnet, widths: [8, 16], depths: [1, 1]}
data: {name: image.folder, root: images}
loader: {batch_size: 32}
""",
    "texts": """\
task: {name: text.classification}
model: {name: text.bag}
data: {name: text.table, file: texts.parquet}
loader: {batch_size: 32}
""",
    "events": """\
task: {name: recsys.next_item}
model: {name: recsys.sasrec, length: 50, width: 32, depth: 1, heads: 1}
data: {name: recsys.interactions, events: events.parquet}
loader: {batch_size: 64}
""",
}
TEXT = """# What many examples cost

What a run costs before and around two steps, by how many examples there are. Everything is read, fitted and encoded
anew, lazy images whenever they are read; two steps are taken, and one batch is validated and one tested. Importing
takes some six seconds of the CPU and most of the smallest memory. Memory is the largest that the process and those
that it started held together.

{setting}

{tables}
"""


def images(folder: Path, count: int) -> None:
    """JPEG files of 32 by 32 pixels, each another, of ten classes."""
    random = np.random.default_rng(0)
    for number in range(count):
        place = folder / "images" / f"c{number % 10}"
        if number < 10:
            place.mkdir(parents=True)
        pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((32, 32)).save(place / f"{number:07d}.jpg")


def texts(folder: Path, count: int) -> None:
    """Texts of 5 to 40 words, of four classes."""
    random = np.random.default_rng(0)
    lengths, labels = random.integers(5, 41, count), random.integers(0, 4, count)
    words = np.char.add("w", random.integers(0, 8_000, lengths.sum()).astype(str))
    ends = np.cumsum(lengths)
    rows = [" ".join(words[end - length : end]) for end, length in zip(ends, lengths, strict=True)]
    table = {"text": rows, "label": np.char.add("c", labels.astype(str))}
    pq.write_table(pa.table(table), folder / "texts.parquet")


def events(folder: Path, count: int) -> None:
    """Who took what when: 50 events of each user, of a catalogue with a long tail."""
    random = np.random.default_rng(0)
    items = max(count // 200, 50)
    table = {
        "user": random.integers(0, max(count // 50, 10), count),
        "item": (random.pareto(1.2, count) * items / 20).astype(np.int64) % items,
        "timestamp": random.integers(1_000_000_000, 1_100_000_000, count),
    }
    pq.write_table(pa.table(table), folder / "events.parquet")


MAKERS: Mapping[str, Callable[[Path, int], None]] = {"images": images, "texts": texts, "events": events}


def measure(a: argparse.Namespace) -> Result:
    """Measure each size of each kind of data once."""
    found: dict[str, list[dict[str, float]]] = {}
    for kind in a.only.split(","):
        for count in (size for size in SIZES[kind] if size <= a.largest * max(SIZES[kind])):
            with tempfile.TemporaryDirectory() as folder:
                found.setdefault(kind, []).append({"examples": count, **of_a_run(kind, count, Path(folder))})
            print(kind, found[kind][-1], file=sys.stderr)
    return {"found": found}


def of_a_run(kind: str, count: int, folder: Path) -> dict[str, float]:
    """What a run costs, on data that are made before it begins."""
    lazily, _, name = kind.rpartition(" ")
    MAKERS[name](folder, count)
    (folder / "recipe.yaml").write_text(RECIPES[name] + "trainer: {accelerator: cpu}\n")
    lane = ["loader.encode=lazy"] if lazily else []
    words = ["-m", "taskkit", "run", "recipe.yaml", *SHORT, *LIMITS, *lane, "--out", "run"]
    return spent(words, folder, {"OMP_NUM_THREADS": "1", "TASKKIT_CACHE": str(folder / "cache")})


def page(result: Result) -> str:
    """The page of a result."""
    tables = "\n".join(_lines(result["found"]))
    return TEXT.format(setting=setting(result, threads=1), tables=tables).rstrip() + "\n"


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield "| | examples | seconds of the CPU | seconds | memory, GiB |"
    yield "|---|---:|---:|---:|---:|"
    for kind, rows in found.items():
        for row in rows:
            cells = (f"{row['examples']:,}", f"{row['cpu_seconds']:.0f}", f"{row['seconds']:.0f}")
            yield f"| {kind} | {' | '.join(cells)} | {row['memory'] / 2**30:.2f} |"


if __name__ == "__main__":
    packages = ("taskkit-ml", "torch", "pytorch-lightning")
    Benchmark("scale", __doc__ or "", packages, measure, page).main(
        largest={"type": float, "default": 1.0, "help": "sizes above this share of the largest are left out"},
        only={"default": ",".join(SIZES), "help": "some of the kinds of data"},
    )
