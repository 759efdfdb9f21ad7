"""The same fine-tuning of MiniLM on R8 by taskkit and by Hugging Face's Trainer, whole processes in turns.

python tests/benchmarks/fine_tuning.py run --out docs/results/fine-tuning-cpu.json [--rounds 2] [--threads 1]
python tests/benchmarks/fine_tuning.py page

Network, initial weights, data, splits, optimiser, steps, learning rates, clipping, precision and the longest text are
the same, and so is the mean batch; each row reads, trains, validates, tests and writes. What is measured is from the
call to the end of the process.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from results import ROOT, Benchmark, Result, in_turns, ranged, rounds_said, setting, spent

from taskkit import Classes, Stream
from taskkit.batches.loader import Loader
from taskkit.batches.plan import Bucketed
from taskkit.engine.build import build, data_module, prepare
from taskkit.engine.loaders import make_loaders
from taskkit.engine.optim import factor
from taskkit.engine.placement import precision
from taskkit.plugins.discovery import discover
from taskkit.recipe.load import load

HERE = Path(__file__).parent
RECIPE = ROOT / "recipes" / "bert.yaml"
PACKAGES = ("taskkit-ml", "torch", "pytorch-lightning", "transformers", "accelerate", "datasets")
ROWS = {
    "taskkit": "`taskkit run recipes/bert.yaml`",
    "grouped": "Hugging Face's Trainer, `group_by_length`",
    "default": "Hugging Face's Trainer, its default order",
}
STEPS = "trainer.max_epochs=null trainer.max_steps={}"
FARTHEST = 0.02
"""How far below the best a row's accuracy may be, and still be of the same work."""
TEXT = """# Fine-tuning, beside Hugging Face's Trainer

Measured with `tests/benchmarks/fine_tuning.py`, which also renders this page from the result beside it. All rows
do the same work: MiniLM under a linear layer on the mean of the tokens, on Reuters R8, for {steps} steps of 16 texts on
the average and in bf16, with one seed; an epoch has 309. Network, initial weights, data, splits, optimiser, the
learning rate of each step, clipping and the longest text are the same; the order of the texts is each row's own, and
taskkit's batches are of like numbers of tokens, the Trainer's of 16 texts each. A row is a whole process, from the call
to its end: it imports, reads and tokenises, trains, validates, tests and writes. A row that took other steps, had other
learning rates or is more than {farthest} below the best accuracy has FAILED and no figure.

{setting}

| | seconds of the CPU | seconds | memory, GiB | test accuracy |
|---|---:|---:|---:|---:|
{rows}

{said}Seconds of the CPU are the measure, since others use the machine too. {rounds} Accuracies are not told apart
here: about each lies an interval of some ± 0.007, of 2 189 texts. taskkit's run also writes intervals, looks for faults
in the data and measures how fast it answers; the Trainer saves its model twice. Among texts of like length little of a
batch is padding; in the default order each text is as long as the longest beside it, in validation and test too.
"""


def measure(a: argparse.Namespace) -> Result:
    """Measure all rows in turns, forwards and backwards."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        changes = ["loader.cache=false", *(STEPS.format(a.steps).split() if a.steps is not None else ())]
        changes += [f"loader.budget={write_work(folder, changes)}"]
        found = in_turns(
            [*ROWS],
            a.rounds,
            lambda row, turn: of_a_row(row, folder / f"{row}{turn}", folder, changes, a.threads),
        )
    rows = [{"row": row, "says": says, "runs": found[row]} for row, says in ROWS.items()]
    return {"protocol": {"rounds": a.rounds, "threads": a.threads}, "rows": rows}


def write_work(folder: Path, changes: Sequence[str]) -> int:
    """Write for the Trainer what the recipe's run does: splits, settings, learning rates and the fresh layer.

    Gives the `loader.budget`, in tokens, with which the recipe's epoch has as many batches as the Trainer's.
    """
    from taskkit_text import weights

    recipe = load([RECIPE], changes, discover()).recipe
    pl.seed_everything(recipe.seed, verbose=False)
    prepared = prepare(data_module(recipe), recipe)
    built = build(recipe, prepared)
    for split in ("train", "val", "test"):
        examples = prepared.examples(split)
        assert not isinstance(examples, Stream)
        rows = [{"text": each.input, "labels": each.target} for each in examples]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    train, target = prepared.examples("train"), prepared.spec.target
    assert not isinstance(train, Stream)
    assert isinstance(target, Classes)
    epoch = math.ceil(len(train) / recipe.loader.batch_size)
    steps = recipe.trainer.max_steps or epoch
    share = partial(factor, section=recipe.optim, total=steps)
    work = {
        "weights": str(weights.find(weights.NAME, pretrained=True)[0]),
        "classes": len(target),
        "max_length": recipe.model.section.max_length,
        "dropout": recipe.model.section.dropout,
        "seed": recipe.seed,
        "lr": recipe.optim.lr,
        "weight_decay": recipe.optim.weight_decay,
        "clip": recipe.trainer.gradient_clip_val,
        "batch_size": recipe.loader.batch_size,
        "bf16": precision(recipe.trainer.precision, recipe.trainer.accelerator).startswith("bf16"),
        "shares": [share(step) for step in range(steps)],
    }
    (folder / "work.json").write_text(json.dumps(work))
    torch.save(built.network.get_submodule("head.linear").state_dict(), folder / "head.pt")
    loader = make_loaders(built, prepared, lambda _: None)["train"]
    assert isinstance(loader, Loader)
    plan = loader.plan
    assert isinstance(plan, Bucketed)
    budgets = range(int(plan.budget), 2 * int(plan.budget))
    return next(tokens for tokens in budgets if len(Bucketed(plan.padded, tokens, shuffle=True)) == epoch)


def of_a_row(row: str, out: Path, folder: Path, changes: Sequence[str], threads: int) -> dict[str, Any]:
    """What the process of a row cost, the accuracy of its test, its steps, and some of its learning rates."""
    environment = {
        "OMP_NUM_THREADS": str(threads),
        "HF_DATASETS_CACHE": tempfile.mkdtemp(dir=folder),
        "TOKENIZERS_PARALLELISM": "true",
    }
    if row == "taskkit":
        words = ["-m", "taskkit", "run", str(RECIPE), *changes, "--out", str(out)]
        return {**spent(words, folder, environment), **_of_run(out)}
    words = [str(HERE / "by_trainer.py"), str(folder), *(["--grouped"] if row == "grouped" else [])]
    cost = spent(words, folder, environment)
    return {**cost, **json.loads((folder / "by_trainer.json").read_text())}


def _of_run(out: Path) -> dict[str, Any]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    rates = {str(line["step"]): line["lr"] for line in lines if "lr" in line}
    accuracy = json.loads((out / "run.json").read_text())["metrics"]["test/accuracy"]
    return {"accuracy": accuracy, "steps": max(line["step"] for line in lines), "rates": rates}


def page(result: Result) -> str:
    """The page of a result."""
    rows = {row["row"]: row for row in result["rows"]}
    sound = [name for name in rows if not failed(name, rows)]
    medians = {name: statistics.median(run["cpu_seconds"] for run in rows[name]["runs"]) for name in sound}
    said = "; ".join(
        f"{seconds / medians['taskkit']:.2f} × taskkit's seconds of the CPU: {ROWS[name]}"
        for name, seconds in medians.items()
        if name != "taskkit" and "taskkit" in medians
    )
    return TEXT.format(
        steps=rows["taskkit"]["runs"][0]["steps"],
        farthest=FARTHEST,
        setting=setting(result, result["protocol"]["threads"]),
        rows="\n".join(_rows(rows)),
        said=f"{said}.\n\n" if said else "",
        rounds=rounds_said(result["protocol"]["rounds"]),
    )


def failed(name: str, rows: Mapping[str, Any]) -> bool:
    """Whether a row did other work than taskkit's, or did it worse than it can be done."""
    best = max(run["accuracy"] for row in rows.values() for run in row["runs"])
    first = rows["taskkit"]["runs"][0]
    return any(
        run["steps"] != first["steps"]
        or run["accuracy"] < best - FARTHEST
        or any(not math.isclose(run["rates"][step], rate, rel_tol=1e-6) for step, rate in first["rates"].items())
        for run in rows[name]["runs"]
    )


def _rows(rows: Mapping[str, Any]) -> Iterator[str]:
    for name, row in rows.items():
        seconds, cpu, memory, accuracy = (
            [run[key] for run in row["runs"]] for key in ("seconds", "cpu_seconds", "memory", "accuracy")
        )
        cells = [ranged(cpu, "{:.0f}"), ranged(seconds, "{:.0f}"), f"{max(memory) / 2**30:.1f}"]
        cells = ["FAILED", "", "", ""] if failed(name, rows) else [*cells, ranged(accuracy, "{:.4f}")]
        yield f"| {row['says']} | {' | '.join(cells)} |"


if __name__ == "__main__":
    Benchmark("fine-tuning", __doc__ or "", PACKAGES, measure, page).main(
        rounds={"type": int, "default": 2, "help": "how often each row is run"},
        threads={"type": int, "default": 1, "help": "of torch, in each row"},
        steps={"type": int, "help": "steps to train instead of an epoch, to see that it works"},
    )
