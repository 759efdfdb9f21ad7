"""Measure what drivers of the training loop cost a step on the host; gpu.py measures a CUDA device.

python tests/benchmarks/steps.py cpu --out docs/results/steps-cpu.json
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
)


def main() -> None:
    """Do what the command line says."""
    arguments = parser().parse_args()
    arguments.do(arguments)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = top.add_subparsers(required=True, metavar="cpu|page")

    cpu_ = modes.add_parser("cpu", help="host overhead on a tiny network, in one thread")
    cpu_.add_argument("--rounds", type=int, default=15)
    cpu_.add_argument("--steps", type=int, default=500)
    names = [row.name for row in protocol.CPU]
    cpu_.add_argument("--rows", nargs="+", choices=names, default=names, help="beside the raw loop; all by default")
    cpu_.add_argument("--warmup", type=int, default=50)
    cpu_.add_argument("--out", type=Path, required=True, help="the JSON file of the results")
    cpu_.set_defaults(do=cpu)

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
