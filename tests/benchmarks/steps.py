"""Measure what drivers of the training loop cost a step.

python tests/benchmarks/steps.py cpu --out docs/results/steps-cpu.json
python tests/benchmarks/steps.py cuda --peak-tflops 790 --out docs/results/steps-cuda.json
python tests/benchmarks/steps.py page
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from step_cost import page, protocol
from step_cost.drivers import Work

from taskkit.runs.record import git_state, now

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "docs" / "results"
PACKAGES = (
    "taskkit-ml",
    "torch",
    "pytorch-lightning",
    "torchmetrics",
    "transformers",
    "accelerate",
    "numpy",
    "rich",
    "timm",
)
NETWORKS = ("vit_b16", "resnet50")
TINY = {
    "vit_b16": ("model.architecture=vit_tiny_patch16_224", "model.options={depth: 1, img_size: 32}"),
    "resnet50": ("model.architecture=resnet10t", "data.size=64", "loader.batch_size=8", "data.samples=256"),
}
SMALL_DATA = (
    "title=A tiny stand-in",
    "data.size=32",
    "data.classes=10",
    "loader.batch_size=4",
    "data.samples=128",
    "trainer.accelerator=cpu",
)


def main() -> None:
    """Do what the command line says."""
    arguments = parser().parse_args()
    arguments.do(arguments)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = top.add_subparsers(required=True, metavar="cpu|cuda|page")

    cpu_ = modes.add_parser("cpu", help="host overhead on a tiny network, in one thread")
    cpu_.add_argument("--rounds", type=int, default=15)
    cpu_.add_argument("--steps", type=int, default=500)
    names = [row.name for row in protocol.CPU]
    cpu_.add_argument("--rows", nargs="+", choices=names, default=names, help="beside the raw loop; all by default")
    cpu_.set_defaults(do=cpu)

    cuda_ = modes.add_parser("cuda", help="throughput on a device")
    cuda_.add_argument("--network", choices=NETWORKS, default="vit_b16")
    cuda_.add_argument("--repetitions", type=int, default=5)
    cuda_.add_argument("--steps", type=int, default=200)
    cuda_.add_argument("--peak-tflops", type=float, help="dense bf16 peak of the device; MFU is left out without it")
    cuda_.add_argument("--tiny", action="store_true", help="tiny networks on the CPU, to see that it works")
    cuda_.set_defaults(do=cuda)

    for mode in (cpu_, cuda_):
        mode.add_argument("--warmup", type=int, default=50)
        mode.add_argument("--out", type=Path, required=True, help="the JSON file of the results")

    page_ = modes.add_parser("page", help=f"render the results into {page.PAGE}")
    page_.add_argument("folder", type=Path, nargs="?", default=RESULTS)
    page_.set_defaults(do=lambda a: (a.folder / page.PAGE).write_text(page.page(a.folder)))
    return top


def cpu(a: argparse.Namespace) -> None:
    """Microseconds a step."""
    begun = _begun()
    torch.set_num_threads(1)
    batches = a.warmup + a.steps + 2
    data = f"data.samples={16 * batches}"
    work = Work(HERE / "mlp.yaml", (data, "loader.batch_size=16", *_window(a)))
    before = os.getloadavg()
    with _cache():
        rows = [row for row in protocol.CPU if row.name in a.rows]
        found = protocol.paired(work, rows, rounds=a.rounds, steps=a.steps, limit=1e-6, say=_say)
    machine = {"device": f"{_cpu_name()}, {os.cpu_count()} cores", "load": [before, os.getloadavg()]}
    settings = {"rounds": a.rounds, "steps": a.steps, "warmup": a.warmup, "threads": 1}
    _write(a.out, "cpu", begun, work, machine, settings, found)


def cuda(a: argparse.Namespace) -> None:
    """Examples a second."""
    begun = _begun()
    changes = (*SMALL_DATA, *TINY[a.network]) if a.tiny else ()
    work = Work(HERE / f"{a.network}.yaml", (*changes, *_window(a)))
    peak = None if a.peak_tflops is None else a.peak_tflops * 1e12
    with _cache():
        found = protocol.interleaved(
            work, protocol.CUDA, repetitions=a.repetitions, steps=a.steps, limit=2e-2, peak=peak, say=_say
        )
    machine = {"device": _cpu_name() if a.tiny else torch.cuda.get_device_name()}
    settings = {"repetitions": a.repetitions, "steps": a.steps, "warmup": a.warmup}
    _write(a.out, "cuda", begun, work, machine, settings, found)


def _begun() -> dict[str, Any]:
    """The time, and the commit that is about to be measured."""
    return {"date": now(), "git": git_state()}


def _window(a: argparse.Namespace) -> tuple[str, ...]:
    """The overrides that make runs as long as what is measured of them."""
    return (f"task.warmup={a.warmup}", f"task.steps={a.steps}", f"trainer.max_steps={a.warmup + a.steps + 2}")


def _cache() -> Any:
    """Keeps encoded samples for as long as the measuring takes."""
    folder = tempfile.TemporaryDirectory()
    os.environ["TASKKIT_CACHE"] = folder.name
    return folder


def _write(
    out: Path,
    mode: str,
    begun: dict[str, Any],
    work: Work,
    machine: dict[str, Any],
    settings: dict[str, Any],
    found: dict[str, Any],
) -> None:
    with work.place() as place:
        plain = place.resolved.plain()
        del plain["task"]["report"]
    result = {
        "benchmark": "steps",
        "mode": mode,
        **begun,
        "command": shlex.join(["python", *sys.argv]),
        "packages": {name: _version(name) for name in PACKAGES},
        "python": sys.version.split()[0],
        "machine": machine,
        "protocol": settings,
        "work": plain,
        **found,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    for row in found["rows"]:
        _say(json.dumps({k: v for k, v in row.items() if k != "says"}))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu_name() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
