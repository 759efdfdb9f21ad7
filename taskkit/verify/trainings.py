"""Proofs by whole trainings, in processes of their own: of resuming, of one seed, of bf16."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from taskkit.apart import Difference, largest
from taskkit.loaded_run import LoadedRun
from taskkit.runs import checkpoint
from taskkit.verify import compare
from taskkit.verify.bench import Bench, Lacking, concluded, refuse_untrained
from taskkit.verify.finding import Finding, Proof
from taskkit.verify.lab import CHECKPOINT_EVERY, environment

PRECISION_LIMIT = 0.05
"""Of losses, as shares of them."""


def resume(bench: Bench) -> Finding:
    """Kill a training at random steps, go on each time, and compare it with one that nobody killed."""
    refuse_untrained(bench)
    whole, killed = bench.lab.trained(), bench.lab.new_folder()
    steps = _steps(whole)
    # Before the first checkpoint there is nothing to go on with: the run would begin again.
    places = range(CHECKPOINT_EVERY + 1, steps)
    if not places:
        raise Lacking(f"a training has {steps} steps here, too few to be killed between them")
    chosen = random.Random(bench.bounds.seed).sample(places, min(bench.bounds.kills, len(places)))
    recipe, died = str(bench.lab.write()), list[int]()
    for step in sorted(chosen):
        begun = (killed / "run.json").exists()
        words = ["--resume", str(killed)] if begun else [recipe, "--out", str(killed)]
        after = step - _saved_step(killed)
        killing = ["taskkit.verify.killed", str(after), "run", *words]
        if bench.lab.call(killing, elsewhere=len(died) % 2 == 0, may_be_killed=True):
            died.append(step)
    bench.lab.call(["taskkit", "run", "--resume", str(killed)], elsewhere=len(died) % 2 == 0)
    apart = compare.of_runs(whole, bench.lab.opened(killed))
    shutil.rmtree(killed)
    what = f"a training killed at step {' and '.join(map(str, died))} of {steps} and gone on with, and one left alone"
    advice = (
        "What decides a step must be in the checkpoint: plugins keep no state outside of weights, and draw no random "
        "numbers but those of Python, NumPy and torch. On a GPU set trainer.deterministic=true."
    )
    return _of_runs("resume", bench, what, apart, advice, {"killed_at": died})


def determinism(bench: Bench) -> Finding:
    """Train twice with one seed."""
    one, other = bench.lab.trained(), bench.lab.train(elsewhere=True)
    what = f"two trainings of {_steps(one)} steps with the seed {bench.recipe.seed}"
    advice = (
        "Something is drawn that the seed does not decide, such as the order of a set, the time or a thread's turn. On "
        "a GPU set trainer.deterministic=true."
    )
    return _of_runs("determinism", bench, what, compare.of_runs(one, other), advice, {})


def precision(bench: Bench) -> Finding:
    """Train in 32 bits and in bf16."""
    refuse_untrained(bench)
    limit = PRECISION_LIMIT if bench.tolerance is None else bench.tolerance
    full, half = (bench.lab.trained(f"trainer.precision={name}") for name in ("32-true", "bf16-mixed"))
    apart = compare.of_lines(_losses(full), _losses(half), relative=True)
    what = f"the losses of {_steps(full)} steps in bf16-mixed and in 32-true, as shares of the larger one, or of 1"
    advice = "The network or the loss loses too much in bf16: compute what is delicate in float32, or lower optim.lr."
    return concluded("precision", bench, what, apart, limit, advice, environment(half))


def _of_runs(
    proof: Proof,
    bench: Bench,
    what: str,
    apart: Mapping[str, Difference],
    advice: str,
    settings: Mapping[str, Any],
) -> Finding:
    most = largest(Difference(each.size, f"{part}: {each.where}") for part, each in apart.items() if each.size)
    compared = f"weights, logged lines and test metrics of {what}"
    found = concluded(proof, bench, compared, most, 0.0, advice, environment(bench.lab.trained()))
    return replace(found, settings={**found.settings, **settings})


def _steps(run: LoadedRun) -> int:
    """How many steps a run took."""
    return max((int(line["step"]) for line in run.history()), default=0)


def _saved_step(run: Path) -> int:
    """The step that a run would go on from."""
    last = run / "checkpoints" / "last.ckpt"
    return checkpoint.read(last).step if last.exists() else 0


def _losses(run: LoadedRun) -> list[dict[str, Any]]:
    names = ("step", "train/loss", "val/loss")
    return [{name: line[name] for name in names if name in line} for line in run.history()]
