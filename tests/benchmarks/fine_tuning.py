"""The same fine-tuning of MiniLM on R8 by taskkit and by Hugging Face's Trainer, whole processes in turns.

python tests/benchmarks/fine_tuning.py run --out docs/results/fine-tuning-cpu.json [--rounds 2] [--threads 2]
python tests/benchmarks/fine_tuning.py page

Weights, data, splits, optimiser, schedule, batch size, clipping, precision and the longest text are the same; each arm
reads, trains one epoch, validates, tests and writes. What is measured is from the call to the end of the process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from taskkit.runs.record import cpu, git_state, now

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RESULTS = ROOT / "docs" / "results"
PAGE = "fine-tuning.md"
RECIPE = ROOT / "recipes" / "bert.yaml"
PACKAGES = ("taskkit-ml", "torch", "pytorch-lightning", "transformers", "accelerate", "datasets")
ARMS = {
    "taskkit": "`taskkit run recipes/bert.yaml`",
    "grouped": "Hugging Face's Trainer, batches of like length",
    "default": "Hugging Face's Trainer, its default order",
}
TEXT = """# Fine-tuning, beside Hugging Face's Trainer

The same work by taskkit and by the Trainer: MiniLM on Reuters R8 for one epoch, in batches of 16 and bf16, with one
seed. Weights, data, splits, optimiser, schedule, clipping and the longest text are the same. Each row is a whole
process, from the call to its end: it imports, reads and tokenises, trains, validates, tests and writes. Rows took
turns, forwards and backwards.

{setting}

| | seconds | of the CPU | peak memory, GiB | test accuracy |
|---|---:|---:|---:|---:|
{rows}

{said}

Median of {rounds} runs, with the range. Accuracies of one seed are not told apart here: about each lies an interval of
some ± 0.007, of 2 189 texts. taskkit's run also writes intervals, looks for faults in the data and measures how fast it
answers; the Trainer saves its model. Why times differ: texts of like length share a batch, so little is padding, and a
few rounded lengths serve all batches, since each new shape costs a CPU a kernel.
"""


def main() -> None:
    """Do what the command line says."""
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = top.add_subparsers(required=True, metavar="run|page")
    run_ = modes.add_parser("run", help="measure")
    run_.add_argument("--out", type=Path, required=True, help="the JSON file of the results")
    run_.add_argument("--rounds", type=int, default=2, help="how often each row is run")
    run_.add_argument("--threads", type=int, default=os.cpu_count(), help="of torch, in each row")
    run_.add_argument("--steps", type=int, help="steps to train instead of an epoch, to see that it works")
    run_.set_defaults(do=run)
    page_ = modes.add_parser("page", help=f"render the results into {PAGE}")
    page_.add_argument("result", type=Path, nargs="?", default=RESULTS / "fine-tuning-cpu.json")
    page_.set_defaults(do=lambda a: (a.result.parent / PAGE).write_text(page(json.loads(a.result.read_text()))))
    arguments = top.parse_args()
    arguments.do(arguments)


def run(a: argparse.Namespace) -> None:
    """Measure all rows in turns, and write what was found."""
    begun, load = {"date": now(), "git": git_state()}, os.getloadavg()
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    with tempfile.TemporaryDirectory() as folder:
        weights = write_data(Path(folder))
        for turn in range(a.rounds):
            for arm in [*ARMS][:: -1 if turn % 2 else 1]:
                words = command(arm, Path(folder), weights, turn, a.steps)
                found[arm].append(measured(words, Path(folder), a.threads))
                print(arm, found[arm][-1], file=sys.stderr)
    result = {
        "benchmark": "fine_tuning",
        **begun,
        "command": f"python {shlex.join(sys.argv)}",
        "machine": {"device": f"{cpu()}, {os.cpu_count()} cores", "load": [load, os.getloadavg()]},
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "protocol": {"rounds": a.rounds, "threads": a.threads, "steps": a.steps},
        "rows": [{"row": arm, "says": says, "runs": found[arm]} for arm, says in ARMS.items()],
    }
    a.out.write_text(json.dumps(result, indent=2) + "\n")


def write_data(folder: Path) -> Path:
    """Write the splits that the recipe has, as plain files, and say where its weights are."""
    from taskkit import Classes, Stream
    from taskkit.engine.build import data_module
    from taskkit.plugins.discovery import discover
    from taskkit.recipe.load import load
    from taskkit_text import weights

    recipe = load([RECIPE], [], discover()).recipe
    prepared = data_module(recipe).prepare(Classes)
    for split in ("train", "val", "test"):
        examples = prepared.examples(split)
        assert not isinstance(examples, Stream)
        rows = [{"text": each.input, "label": prepared.spec.target.readable(each.target)} for each in examples]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return weights.find(weights.NAME, pretrained=True)[0]


def command(arm: str, folder: Path, weights: Path, turn: int, steps: int | None) -> Sequence[str]:
    """The call of a row, which reads everything anew."""
    if arm == "taskkit":
        changes = ["trainer.max_epochs=null", f"trainer.max_steps={steps}"] if steps else []
        out = ["--out", str(folder / f"run{turn}")]
        return ["-m", "taskkit", "run", str(RECIPE), "loader.cache=false", *changes, *out]
    more = ["--steps", str(steps)] if steps else []
    grouped = ["--grouped"] if arm == "grouped" else []
    return [str(HERE / "by_trainer.py"), str(folder), "--weights", str(weights), *grouped, *more]


def measured(words: Sequence[str], folder: Path, threads: int) -> dict[str, float]:
    """Seconds of the clock and of the CPU, the largest memory and the test accuracy of a process."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "HF_DATASETS_CACHE": tempfile.mkdtemp(dir=folder),
        "TOKENIZERS_PARALLELISM": "true",
    }
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, *words], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{shlex.join(words)} ended with {os.waitstatus_to_exitcode(status)}.\n{said}")
    return {
        "seconds": time.monotonic() - began,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "memory": used.ru_maxrss * 1024,
        "accuracy": _accuracy(words, said),
    }


def _accuracy(words: Sequence[str], said: str) -> float:
    if "--out" in words:
        kept = json.loads(Path(words[-1], "run.json").read_text())
        return float(kept["metrics"]["test/accuracy"])
    return float(json.loads(said.splitlines()[-1])["accuracy"])


def page(result: Mapping[str, Any]) -> str:
    """The page of a result."""
    rows = {row["row"]: row for row in result["rows"]}
    medians = {name: statistics.median(run["seconds"] for run in row["runs"]) for name, row in rows.items()}
    ours = medians.pop("taskkit")
    said = "; ".join(f"{seconds / ours:.2f} × taskkit's seconds: {ARMS[name]}" for name, seconds in medians.items())
    git = result["git"] or {"commit": "no commit", "dirty": False}
    packages = ", ".join(f"{name} {number}" for name, number in result["packages"].items() if name != "taskkit-ml")
    load = " and ".join(f"{each[0]:.1f}" for each in result["machine"]["load"])
    setting = (
        f"{result['date'][:10]}, commit {git['commit'][:12]}{' with changes' if git['dirty'] else ''}, "
        f"{result['machine']['device']}, {result['protocol']['threads']} threads, {packages}: `{result['command']}`. "
        f"Load average before and after: {load}."
    )
    return TEXT.format(
        setting=setting, rows="\n".join(_rows(rows)), said=f"{said}.", rounds=result["protocol"]["rounds"]
    )


def _rows(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for row in rows.values():
        seconds, cpu_, memory, accuracy = (
            [run[name] for run in row["runs"]] for name in ("seconds", "cpu_seconds", "memory", "accuracy")
        )
        cells = [_range(seconds, "{:.0f}"), _range(cpu_, "{:.0f}")]
        cells += [f"{max(memory) / 2**30:.1f}", _range(accuracy, "{:.4f}")]
        yield f"| {row['says']} | {' | '.join(cells)} |"


def _range(values: Sequence[float], form: str) -> str:
    low, middle, high = (form.format(value) for value in (min(values), statistics.median(values), max(values)))
    return middle if low == high else f"{middle} ({low}–{high})"


if __name__ == "__main__":
    main()
