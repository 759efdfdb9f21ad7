"""What a run costs before and around two steps, by how many examples there are: seconds of the CPU and memory.

python tests/benchmarks/scale.py run --out docs/results/scale-cpu.json [--largest 1.0] [--only images,texts]
python tests/benchmarks/scale.py page

Data are made here: JPEG files of noise, rows of drawn words, events of a long-tailed catalogue. A run reads them, fits
and encodes what is needed, takes two steps, validates and tests one batch, and writes its directory; nothing is cached.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from taskkit.runs.record import cpu, git_state, now

RESULTS = Path(__file__).parents[2] / "docs" / "results"
PAGE = "scale.md"
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


def main() -> None:
    """Do what the command line says."""
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = top.add_subparsers(required=True, metavar="run|page")
    run_ = modes.add_parser("run", help="measure")
    run_.add_argument("--out", type=Path, required=True, help="the JSON file of the results")
    run_.add_argument("--largest", type=float, default=1.0, help="sizes above this share of the largest are left out")
    run_.add_argument("--only", default=",".join(SIZES), help="some of the kinds of data")
    run_.set_defaults(do=run)
    page_ = modes.add_parser("page", help=f"render the results into {PAGE}")
    page_.add_argument("result", type=Path, nargs="?", default=RESULTS / "scale-cpu.json")
    page_.set_defaults(do=lambda a: (a.result.parent / PAGE).write_text(page(json.loads(a.result.read_text()))))
    arguments = top.parse_args()
    arguments.do(arguments)


def run(a: argparse.Namespace) -> None:
    """Measure each size of each kind of data once."""
    begun, load = {"date": now(), "git": git_state()}, os.getloadavg()
    found: dict[str, list[dict[str, float]]] = {}
    for kind in a.only.split(","):
        for count in (size for size in SIZES[kind] if size <= a.largest * max(SIZES[kind])):
            with tempfile.TemporaryDirectory() as folder:
                found.setdefault(kind, []).append({"examples": count, **measured(kind, count, Path(folder))})
            print(kind, found[kind][-1], file=sys.stderr)
    result = {
        "benchmark": "scale",
        **begun,
        "command": f"python {shlex.join(sys.argv)}",
        "machine": {"device": f"{cpu()}, {os.cpu_count()} cores", "load": [load, os.getloadavg()]},
        "python": platform.python_version(),
        "packages": {name: version(name) for name in ("taskkit-ml", "torch", "pytorch-lightning")},
        "found": found,
    }
    a.out.write_text(json.dumps(result, indent=2) + "\n")


def measured(kind: str, count: int, folder: Path) -> dict[str, float]:
    """Seconds of the CPU and the clock of a run, and the largest memory of it and the processes that it started."""
    lazily, _, name = kind.rpartition(" ")
    MAKERS[name](folder, count)
    (folder / "recipe.yaml").write_text(RECIPES[name] + "trainer: {accelerator: cpu}\n")
    lane = ["loader.encode=lazy"] if lazily else []
    words = [sys.executable, "-m", "taskkit", "run", "recipe.yaml", *SHORT, *LIMITS, *lane, "--out", "run"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TASKKIT_CACHE": str(folder / "cache")}
    began, ended, peak = time.monotonic(), threading.Event(), [0]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=log, stderr=log)
        watching = threading.Thread(target=_watch, args=(process.pid, ended, peak))
        watching.start()
        _, status, used = os.wait4(process.pid, 0)
        ended.set()
        watching.join()
    if status:
        raise SystemExit(f"{kind}, {count}: {(folder / 'log').read_text()}")
    return {"cpu_seconds": used.ru_utime + used.ru_stime, "seconds": time.monotonic() - began, "memory": peak[0]}


def _watch(pid: int, ended: threading.Event, peak: list[int]) -> None:
    """Look at the proportional memory of a process and its children, ten times a second."""
    while not ended.wait(0.1):
        peak[0] = max(peak[0], sum(_memory(each) for each in (pid, *_children(pid))))


def _children(pid: int) -> Iterator[int]:
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from _children(int(child))
    except OSError:  # It ended.
        return


def _memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def page(result: Mapping[str, Any]) -> str:
    """The page of a result."""
    git = result["git"] or {"commit": "no commit", "dirty": False}
    load = " and ".join(f"{each[0]:.1f}" for each in result["machine"]["load"])
    setting = (
        f"{result['date'][:10]}, commit {git['commit'][:12]}{' with changes' if git['dirty'] else ''}, "
        f"{result['machine']['device']}, one thread of torch, torch {result['packages']['torch']}: "
        f"`{result['command']}`. Load average before and after: {load}."
    )
    return TEXT.format(setting=setting, tables="\n".join(_lines(result["found"]))).rstrip() + "\n"


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield "| | examples | seconds of the CPU | seconds | memory, GiB |"
    yield "|---|---:|---:|---:|---:|"
    for kind, rows in found.items():
        for row in rows:
            cells = (f"{row['examples']:,}", f"{row['cpu_seconds']:.0f}", f"{row['seconds']:.0f}")
            yield f"| {kind} | {' | '.join(cells)} | {row['memory'] / 2**30:.2f} |"


if __name__ == "__main__":
    main()
