"""The proofs: each does a thing twice, in two ways that must come out alike, and says how far apart they came out."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from taskkit.batches.encode import encode
from taskkit.contracts.data import Stream
from taskkit.contracts.facts import Example, Split
from taskkit.contracts.recipe import Recipe
from taskkit.engine import build
from taskkit.engine.build import Built
from taskkit.engine.evaluate import Evaluation
from taskkit.engine.loaders import PlaceLoaders, for_judging
from taskkit.engine.module import TaskModule
from taskkit.engine.trainer import alone, make_trainer, quiet
from taskkit.errors import RunFailedError
from taskkit.loaded_run import LoadedRun
from taskkit.plugins.registry import Plugins
from taskkit.runs import checkpoint
from taskkit.runs.record import now
from taskkit.verify import compare, gradients
from taskkit.verify.compare import Difference
from taskkit.verify.finding import Finding, Outcome, Proof
from taskkit.verify.gradients import Asked, Gradients, Subject
from taskkit.verify.lab import CHECKPOINT_EVERY, Bounds, Lab, environment, lab, untrained

GRADIENT_LIMIT = 1e-3
"""Of the largest gradient: sums in another order differ by far less in 32 bits, a wrong weight by far more."""
METRIC_LIMIT = 1e-4
"""Of metrics and scores, or of 1 where they are larger than that."""
PRECISION_LIMIT = 0.05
"""Of losses, as shares of them."""


SAMPLES = 8
"""Of the steps whose gradients are compared."""
RAGGED = (5, 2, 1)
"""Batches of so many: of one size, all would weigh alike whatever their losses are the mean of."""


class Skipped(Exception):
    """A proof that says nothing of this recipe, with the reason."""


@dataclass(frozen=True)
class Bench:
    """What proofs are made with."""

    lab: Lab
    run: LoadedRun | None
    """The run that is verified; None: a recipe."""
    tolerance: float | None = None
    """The limit of the proof of precision; None: PRECISION_LIMIT."""

    @property
    def recipe(self) -> Recipe:
        """The recipe that is verified."""
        return self.lab.recipe

    @property
    def bounds(self) -> Bounds:
        """How much a proof may do."""
        return self.lab.bounds

    @cached_property
    def subject(self) -> Subject:
        """The recipe's task before training, on the CPU."""
        return gradients.subject(self.recipe, self.lab.plugins, self.bounds.examples)

    @cached_property
    def weights(self) -> LoadedRun:
        """The run whose weights are judged: the one that is verified, else one that is trained in short."""
        return self.run or self.lab.trained()


def verify(
    recipe: Recipe,
    plugins: Plugins,
    proofs: Sequence[Proof],
    bounds: Bounds,
    *,
    run: LoadedRun | None = None,
    tolerance: float | None = None,
) -> Iterator[Finding]:
    """Make the proofs of a recipe one by one, in a temporary directory; `run` gives trained weights.

    Raises RunFailedError where a training fails, and DataError where the data cannot be used.
    """
    with lab(recipe, plugins, bounds) as place:
        bench = Bench(place, run, tolerance)
        for proof in proofs:
            yield _proved(proof, bench)


def _proved(proof: Proof, bench: Bench) -> Finding:
    try:
        return replace(_PROOFS[proof](bench), ended=now())
    except Skipped as reason:
        return Finding(proof, "skipped", str(reason), ended=now())


# Whole runs, in processes of their own.


def resume(bench: Bench) -> Finding:
    """Kill a training at random steps, go on each time, and compare it with one that nobody killed."""
    _refuse_untrained(bench)
    whole, killed = bench.lab.trained(), bench.lab.new_folder()
    steps = _steps(whole)
    # Before the first checkpoint there is nothing to go on with: the run would begin again.
    places = range(CHECKPOINT_EVERY + 1, steps)
    if not places:
        raise Skipped(f"a training has {steps} steps here, too few to be killed between them")
    chosen = random.Random(bench.bounds.seed).sample(places, min(bench.bounds.kills, len(places)))
    recipe, died = str(bench.lab.write()), []
    for step in sorted(chosen):
        begun = (killed / "run.json").exists()
        words = ["--resume", str(killed)] if begun else [recipe, "--out", str(killed)]
        after = step - _saved_step(killed)
        if bench.lab.call(["taskkit.verify.killed", str(after), "run", *words], may_be_killed=True):
            died.append(step)
    bench.lab.call(["taskkit", "run", "--resume", str(killed)])
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
    one, other = bench.lab.trained(), bench.lab.train()
    what = f"two trainings of {_steps(one)} steps with the seed {bench.recipe.seed}"
    advice = (
        "Something is drawn that the seed does not decide, such as the order of a set, the time or a thread's turn. On "
        "a GPU set trainer.deterministic=true."
    )
    return _of_runs("determinism", bench, what, compare.of_runs(one, other), advice, {})


def precision(bench: Bench) -> Finding:
    """Train in 32 bits and in bf16."""
    _refuse_untrained(bench)
    limit = PRECISION_LIMIT if bench.tolerance is None else bench.tolerance
    full, half = (bench.lab.trained(f"trainer.precision={name}") for name in ("32-true", "bf16-mixed"))
    apart = compare.of_lines(_losses(full), _losses(half), relative=True)
    what = f"the losses of {_steps(full)} steps in bf16-mixed and in 32-true, as shares of the larger one, or of 1"
    advice = "The network or the loss loses too much in bf16: compute what is delicate in float32, or lower optim.lr."
    return _judged("precision", bench, what, apart, limit, advice, environment(half))


def _of_runs(
    proof: Proof,
    bench: Bench,
    what: str,
    apart: Mapping[str, Difference],
    advice: str,
    settings: Mapping[str, Any],
) -> Finding:
    most = compare.largest(Difference(each.size, f"{part}: {each.where}") for part, each in apart.items() if each.size)
    compared = f"weights, logged lines and test metrics of {what}"
    found = _judged(proof, bench, compared, most, 0.0, advice, environment(bench.lab.trained()))
    return replace(found, settings={**found.settings, **settings})


def _refuse_untrained(bench: Bench) -> None:
    """Raise Skipped where no steps are taken."""
    if untrained(bench.recipe):
        raise Skipped("this recipe takes no steps (trainer.max_epochs=0)")


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


# Gradients.


def accumulate(bench: Bench) -> Finding:
    """Compare steps over 8 batches of 1 with steps over 1 batch of 8, and over ragged ones."""
    task = _steps_alone(bench)
    asked, whole = _repeatable(task, Asked((SAMPLES,)))
    ones = _apart(whole, task.gradients(replace(asked, sizes=(1,) * SAMPLES, accumulate=SAMPLES)))
    ragged = _apart(whole, task.gradients(replace(asked, sizes=RAGGED, accumulate=len(RAGGED))))
    what = "the gradient of 1x8 samples and those of 8x1 and of 5+2+1, as shares of the largest gradient"
    advice = (
        "`Step(loss, count, over=…)`: the loss must be the mean over `count` things of the batch. A loss across the "
        "samples of a batch, such as a contrastive one, is none: accumulation is not a larger batch there."
    )
    return _judged("accumulate", bench, what, compare.largest([ones, ragged]), GRADIENT_LIMIT, advice, _here())


def devices(bench: Bench) -> Finding:
    """Compare steps that two processes share out with those of one."""
    task = _steps_alone(bench)
    asked, whole = _repeatable(task, Asked(RAGGED[:2], accumulate=2, examples=bench.bounds.examples))
    folder = bench.lab.new_folder()
    folder.mkdir()
    asked_ = gradients.ask(folder / "asked.json", replace(asked, devices=2))
    words = [bench.lab.write(), asked_, folder / "gradients.pt"]
    bench.lab.call(["taskkit.verify.gradients", *map(str, words)])
    shared: Gradients = checkpoint.load_safely(folder / "gradients.pt")
    what = "the gradient of two processes (gloo on the CPU) that share batches out unevenly, and of one, as shares of "
    advice = (
        "`Step(loss, count, over=…)`: `count` must be what the loss of the batch is the mean over, in each process."
    )
    return _judged("devices", bench, f"{what}the largest", _apart(whole, shared), GRADIENT_LIMIT, advice, _here())


def _steps_alone(bench: Bench) -> Subject:
    """What takes the steps; raises Skipped where gradients of several batches never come together in one."""
    _refuse_untrained(bench)
    if (there := len(bench.subject.encoded)) < SAMPLES:
        raise Skipped(f"these data and --examples give {there} training samples; {SAMPLES} are compared")
    if phases := bench.subject.built.task.phases:
        raise Skipped(f"the phases {', '.join(phases)} take a step each on every batch")
    return bench.subject


def _repeatable(task: Subject, asked: Asked) -> tuple[Asked, Gradients]:
    """What is asked in the way in which no random number decides it, and its gradients.

    Raises Skipped where every way draws some for each batch: batches that are cut otherwise are no comparison then.
    """
    found = task.gradients(asked)
    if _apart(found, task.gradients(asked, seed=1)).size <= GRADIENT_LIMIT:
        return asked, found
    asked = replace(asked, network_trains=False)
    try:
        found = task.gradients(asked)
        if _apart(found, task.gradients(asked, seed=1)).size <= GRADIENT_LIMIT:
            return asked, found
    except RunFailedError:
        pass  # This network answers what can be trained in training mode alone.
    raise Skipped("random numbers are drawn for each batch; set dropout and the like to 0 in a recipe, and verify that")


def _apart(one: Gradients, other: Gradients) -> Difference:
    if len(one) != len(other):
        return Difference(float("inf"), f"{len(one)} steps and {len(other)}")
    scale = max((float(g.abs().max()) for step in one for g in step.values() if g.numel()), default=0.0)
    if scale == 0:
        raise Skipped("all gradients are 0 before training")
    found = []
    for number, (mine, theirs) in enumerate(zip(one, other, strict=True), 1):
        apart = compare.of_tensors(mine, theirs, scale)
        found.append(Difference(apart.size, f"{apart.where} at step {number}"))
    return compare.largest(found)


# Metrics.


def batch_size(bench: Bench) -> Finding:
    """Judge one set of weights in batches of 1, 5 and 16."""
    judged = _Judged.of(bench)
    found = {size: judged.evaluation(size) for size in (1, 5, 16)}
    apart = compare.largest(_of_evaluations(found[1], other) for size, other in found.items() if size != 1)
    what = f"metrics and scores of {judged.said} in batches of 1, 5 and 16"
    advice = (
        "What a network answers, or a metric counts, depends on what else is in the batch: look at padding and its "
        "mask, at normalisation over the batch, and at means of means in metrics."
    )
    return _judged("batch-size", bench, what, apart, METRIC_LIMIT, advice, _here())


def order(bench: Bench) -> Finding:
    """Judge one set of weights on examples in three orders."""
    judged, numbers = _Judged.of(bench), np.random.default_rng(bench.bounds.seed)
    shuffled = numbers.permutation(len(judged.examples)).tolist()
    straight = judged.evaluation(4)
    others = [judged.evaluation(4, each) for each in (range(len(shuffled))[::-1], shuffled)]
    apart = compare.largest(_of_evaluations(straight, other) for other in others)
    what = f"metrics and scores of {judged.said} in order, backwards and shuffled"
    advice = "A metric or a task remembers what it saw before, or an answer depends on what else is in the batch."
    return _judged("order", bench, what, apart, METRIC_LIMIT, advice, _here())


@dataclass(frozen=True)
class _Judged:
    """A task with trained weights and the examples that it is judged on, on the CPU in 32 bits."""

    built: Built
    examples: Sequence[Example]
    split: Split

    @classmethod
    def of(cls, bench: Bench) -> _Judged:
        """The first examples of the test split, or of another where that is empty."""
        with quiet():
            prepared = build.prepare(build.data_module(bench.recipe), bench.recipe)
        for split in _SPLITS:
            examples = prepared.examples(split)
            if not isinstance(examples, Stream) and len(examples):
                some = [examples[number] for number in range(min(bench.bounds.examples, len(examples)))]
                return cls(replace(bench.weights.built, spec=prepared.spec), some, split)
        raise Skipped("these data have no split that can be judged, only streams")

    @property
    def said(self) -> str:
        """What is judged, for a reader."""
        return f"{len(self.examples)} {self.split} examples"

    def evaluation(self, batch_size: int, numbers: Sequence[int] | None = None) -> Evaluation:
        """Judge the examples by their numbers, in this order, in batches of so many."""
        examples = self.examples if numbers is None else [self.examples[number] for number in numbers]
        recipe = self.built.recipe
        loader_ = replace(recipe.loader, eval_batch_size=batch_size, budget=None)
        trainer_ = replace(alone(replace(recipe.trainer, accelerator="cpu")), precision="32-true", profiler=None)
        here = replace(self.built, recipe=replace(recipe, loader=loader_, trainer=trainer_))
        encoded = encode(examples, here.processor, key=None)
        loader = for_judging(here, encoded, resident="no", workers=0)
        with quiet():
            trainer = make_trainer(here.recipe, [PlaceLoaders([loader])])
            return TaskModule(here.task, recipe.task).test(trainer, loader, examples, here.spec, folder=None)


_SPLITS: tuple[Split, ...] = ("test", "val", "train")


def _of_evaluations(one: Evaluation, other: Evaluation) -> Difference:
    # What is found is kept with the run, which may be one that names no example.
    numbers = {row["id"]: number for number, row in enumerate(one.rows, 1)}
    return compare.largest(
        [
            compare.of_numbers(one.numbers, other.numbers, relative=True),
            compare.of_numbers(_scores(one, numbers), _scores(other, numbers), relative=True),
        ]
    )


def _scores(evaluation: Evaluation, numbers: Mapping[str, int]) -> dict[str, float]:
    """The numbers in the rows of an evaluation, by the column and the example's number."""
    return {
        f"{column} of example {numbers[row['id']]}": float(value)
        for row in evaluation.rows
        for column, value in row.items()
        if column not in ("id", "target") and isinstance(value, float)
    }


# The end of a proof.


def _judged(
    proof: Proof,
    bench: Bench,
    compared: str,
    apart: Difference,
    limit: float,
    advice: str,
    environment: Mapping[str, Any],
) -> Finding:
    outcome: Outcome = "pass" if apart.size <= limit else "fail"
    return Finding(
        proof,
        outcome,
        compared,
        largest=apart.size,
        where=apart.where if apart.size else "",
        limit=limit,
        advice=advice if outcome == "fail" else "",
        settings=asdict(bench.bounds),
        environment=environment,
    )


def _here() -> dict[str, Any]:
    return {"torch": torch.__version__, "device": "cpu"}


_PROOFS: Mapping[Proof, Callable[[Bench], Finding]] = {
    "resume": resume,
    "accumulate": accumulate,
    "determinism": determinism,
    "precision": precision,
    "devices": devices,
    "batch-size": batch_size,
    "order": order,
}
