"""What a run costs by how much there is to learn from: seconds of the CPU to the first step, of a step, and memory.

python tests/benchmarks/scale.py run --out docs/results/scale-cpu.json [--only "lazy images,texts"] [--most 1000000]
python tests/benchmarks/scale.py page

Data are made here: JPEG files of noise, some of them under many names, rows of drawn words, events of a long-tailed
catalogue, recordings of noise. A run reads them, fits and encodes what is needed, takes some steps, validates and tests
two batches, and writes its directory; nothing is found in the cache.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from PIL import Image
from results import Benchmark, Result, setting, spent

from taskkit.runs.record import git_state, now

STEPS = 11
SHORT = (f"trainer.max_steps={STEPS}", "trainer.max_epochs=null")
LIMITS = ("trainer.limit_val_batches=2", "trainer.limit_test_batches=2")
MARKS = Path(__file__).parent / "marks.py"
LINKS = 60_000
"""So many names a file may have: ext4 allows 65,000."""
SECONDS = 12
"""Of each recording."""
SIZES = {
    "images": (1_000, 10_000, 100_000),
    "lazy images": (1_000, 10_000, 100_000, 1_000_000, 10_000_000),
    "texts": (1_000, 10_000, 100_000, 500_000),
    "events": (100_000, 1_000_000, 10_000_000, 100_000_000),
    "items": (10_000, 100_000, 1_000_000),
    "hours of audio": (1, 10, 50, 1_000),
}
OF_ITEMS = 2_000_000
"""Events of a catalogue, of however many items it is."""
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
    "audio": """\
task: {name: speech.ctc}
model: {name: speech.wav2vec2, conv_widths: [16, 16, 16], width: 32, layers: 1, heads: 1}
data: {name: speech.table, table: audio/table.csv}
loader: {budget: 24}
""",
}
RECIPES["items"] = (
    RECIPES["events"]
    .replace("next_item}", "next_item, loss: sampled}")
    .replace("events.parquet}", "events.parquet, split: users, val_share: 0.01, test_share: 0.01}")
)
TEXT = """# What much data cost

What a run costs before and around its steps, by how much data there is. Each line is one process of its own, which
begins with an empty cache: it reads, fits and encodes all, lazy images whenever they are read, takes {steps} steps,
validates two batches, tests two, and writes its directory. Importing takes some four seconds of the CPU and most of the
smallest memory. Memory is the largest that the process and those that it started held together, libraries and files
that others map too by their share; so it differs by 0.1 GiB with what else runs.

{tables}

The exponent is that of growth between the two largest sizes, of what is above the smallest size's cost: 1 is linear. It
is left out where the largest size costs less than half as much again as the smallest. Where the second largest costs a
second more, some tenths of a second change it; and from 10,000 examples of a split on several processes encode them,
which takes more of the CPU and less time. {missing}

Images are JPEG files of 32 by 32 pixels, as many different ones as there are examples, but no more than 10,000: those
beyond are further names of these. Recordings last {seconds} s, are of 10 different contents, and have further names
too. Of a catalogue there are {of_items:,} events, or twice as many as items, by users of whom 2 % are judged, and
negatives are sampled; the other events are of a 200th as many items, each user is judged, and all items are compared,
so that a step takes as long as they are many. An hour of audio at 16 kHz takes 115 MB of the store,
which 1,000 hours would not have fitted.

Each kind can be measured by itself. The last was measured so: {setting} By kind: {when}.
"""


def images(folder: Path, count: int) -> None:
    """JPEG files of 32 by 32 pixels, of ten classes; 10,000 different ones at most, the others links to these."""
    random = np.random.default_rng(0)
    for number in range(count):
        place = folder / "images" / f"c{number % 10}"
        if number < 10:
            place.mkdir(parents=True)
        if number < 10_000:
            pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((32, 32)).save(place / f"{number:08d}.jpg")
        else:
            os.link(place / f"{number % 10_000:08d}.jpg", place / f"{number:08d}.jpg")


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


def items(folder: Path, count: int) -> None:
    """Each item once at least, and drawn ones up to a number of events; 50 events of each user."""
    random = np.random.default_rng(0)
    total = max(OF_ITEMS, 2 * count)
    table = {
        "user": random.permutation(total) // 50,
        "item": np.concatenate([np.arange(count), random.integers(0, count, total - count)]),
        "timestamp": random.integers(1_000_000_000, 1_100_000_000, total),
    }
    pq.write_table(pa.table(table), folder / "events.parquet")


def audio(folder: Path, hours: int) -> None:
    """Recordings of noise at 16 kHz, of ten contents, the others links to these, and a table of short transcripts."""
    random, place = np.random.default_rng(0), folder / "audio"
    place.mkdir()
    for number in range(10):
        noise = random.normal(0, 0.1, SECONDS * 16_000)
        soundfile.write(place / f"{number:07d}.wav", noise, 16_000)
    names = [f"{number:07d}.wav" for number in range(hours * 3600 // SECONDS)]
    for number, name in enumerate(names[10:], 10):
        os.link(place / names[number % 10], place / name)
    spoken = ("one two three", "four five six", "seven eight nine")
    rows = [f"{name},{spoken[number % 3]}" for number, name in enumerate(names)]
    (place / "table.csv").write_text("\n".join(["path,text", *rows]) + "\n")


MAKERS: Mapping[str, Callable[[Path, int], None]] = {
    "images": images,
    "texts": texts,
    "events": events,
    "items": items,
    "audio": audio,
}


def measure(a: argparse.Namespace) -> Result:
    """Measure each size of some kinds of data once, and keep what the file says of the others."""
    kept = json.loads(a.out.read_text())["found"] if a.out.exists() else {}
    found: dict[str, Any] = {}
    for kind in a.only.split(","):
        about = {"date": now(), "git": git_state(), "load": os.getloadavg()}
        rows: list[dict[str, float]] = []
        for count in (size for size in SIZES[kind] if size <= a.most):
            with tempfile.TemporaryDirectory() as folder:
                rows.append({"examples": count, **of_a_run(kind, count, Path(folder))})
            print(kind, rows[-1], file=sys.stderr)
        found[kind] = {**about, "rows": rows}
    return {"found": {kind: each for kind in SIZES if (each := found.get(kind, kept.get(kind)))}}


def of_a_run(kind: str, count: int, folder: Path) -> dict[str, float]:
    """What a run costs, on data that are made before it begins."""
    lazily, _, name = kind.rpartition(" ")
    MAKERS[name](folder, count)
    (folder / "recipe.yaml").write_text(RECIPES[name] + "trainer: {accelerator: cpu}\n")
    lane = ["loader.encode=lazy"] if lazily == "lazy" else []
    words = ["-m", "taskkit", "--plugin", str(MARKS), "run", "recipe.yaml", *SHORT, *LIMITS, *lane, "--out", "run"]
    cost = spent(words, folder, {"OMP_NUM_THREADS": "1", "TASKKIT_CACHE": str(folder / "cache")})
    begun, *ended = json.loads((folder / "marks.json").read_text())
    return {"first_step": begun, "step": (ended[-1] - ended[0]) / (len(ended) - 1), **cost}


def page(result: Result) -> str:
    """The page of a result."""
    found = result["found"]
    about: dict[str, Any] = {"steps": STEPS, "seconds": SECONDS, "of_items": OF_ITEMS}
    about |= {"when": "; ".join(_when(found)), "missing": _missing(found)}
    return TEXT.format(setting=setting(result, threads=1), tables="\n".join(_lines(found)), **about).rstrip() + "\n"


def _missing(found: Mapping[str, Any]) -> str:
    measured = {kind: {row["examples"] for row in of["rows"]} for kind, of in found.items()}
    left = [f"{size:,} ({kind})" for kind in SIZES for size in SIZES[kind] if size not in measured.get(kind, ())]
    return f"Not measured: {', '.join(left)}." if left else ""


def _when(found: Mapping[str, Any]) -> Iterator[str]:
    for kind, of in found.items():
        commit = of["git"]["commit"][:12] + (" with changes" if of["git"]["dirty"] else "")
        yield f"{kind} {of['date'][:16].replace('T', ' ')}, commit {commit}, load {of['load'][0]:.1f}"


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield "| | | seconds of the CPU to the first step | of the whole run | ms of a step | memory, GiB |"
    yield "|---|---:|---:|---:|---:|---:|"
    for kind, of in found.items():
        rows = of["rows"]
        for row in rows:
            seconds = f"{row['first_step']:.0f} | {row['cpu_seconds']:.0f} | {1000 * row['step']:.0f}"
            yield f"| {kind} | {row['examples']:,} | {seconds} | {row['memory'] / 2**30:.2f} |"
        counts = [row["examples"] for row in rows]
        grows = [exponent(counts, [row[what] for row in rows]) for what in ("first_step", "cpu_seconds", "memory")]
        yield f"| | exponent | {grows[0]} | {grows[1]} | | {grows[2]} |"


def exponent(counts: Sequence[float], costs: Sequence[float]) -> str:
    """How a cost grows between the two largest sizes, above that of the smallest: 1 where it is linear.

    Empty where there are fewer than three sizes, or where so little is above it that it is noise.
    """
    if len(counts) < 3 or costs[-1] < 1.5 * costs[0] or costs[-2] <= costs[0]:
        return ""
    times, sizes = ((of[-1] - of[0]) / (of[-2] - of[0]) for of in (costs, counts))
    return f"{math.log(times) / math.log(sizes):.2f}"


if __name__ == "__main__":
    packages = ("taskkit-ml", "torch", "pytorch-lightning")
    Benchmark("scale", __doc__ or "", packages, measure, page).main(
        most={"type": int, "default": 10**9, "help": "larger sizes are left out"},
        only={"default": ",".join(SIZES), "help": "some of the kinds of data"},
    )
