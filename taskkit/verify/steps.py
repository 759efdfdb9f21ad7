"""Proofs by the gradients of single steps: of accumulation, and of several processes."""

from __future__ import annotations

from dataclasses import replace

from taskkit.apart import Difference, largest, of_tensors
from taskkit.errors import RunFailedError
from taskkit.runs import checkpoint
from taskkit.verify import gradients
from taskkit.verify.bench import Bench, Lacking, Skipped, concluded, here, refuse_untrained
from taskkit.verify.finding import Finding
from taskkit.verify.gradients import Asked, Gradients, Subject

GRADIENT_LIMIT = 1e-3
"""Of the largest gradient: sums in another order differ by far less in 32 bits, a wrong weight by far more."""
SAMPLES = 8
"""Of the steps whose gradients are compared."""
RAGGED = (5, 2, 1)
"""Batches of so many: of one size, all would weigh alike whatever their losses are the mean of."""


def accumulate(bench: Bench) -> Finding:
    """Compare steps over 8 batches of 1 with steps over 1 batch of 8, and over ragged ones."""
    task = _steps_alone(bench)
    asked, whole = _repeatable(task, Asked((SAMPLES,)))
    ones = _apart(whole, task.gradients(replace(asked, sizes=(1,) * SAMPLES, accumulate=SAMPLES)))
    ragged = _apart(whole, task.gradients(replace(asked, sizes=RAGGED, accumulate=len(RAGGED))))
    what = "the gradient of 1x8 samples and those of 8x1 and of 5+2+1, as shares of the largest gradient"
    advice = (
        "`Step(loss, count, over=…)`: the loss must be the mean over `count` things of the batch. A loss that "
        "compares them with each other is none: say `compares_samples = True` in the task."
    )
    return concluded("accumulate", bench, what, largest([ones, ragged]), GRADIENT_LIMIT, advice, here())


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
    return concluded("devices", bench, f"{what}the largest", _apart(whole, shared), GRADIENT_LIMIT, advice, here())


def _steps_alone(bench: Bench) -> Subject:
    """What takes the steps; raises Skipped where gradients of several batches never come together in one."""
    refuse_untrained(bench)
    if (there := len(bench.subject.encoded)) < SAMPLES:
        raise Lacking(f"these data and --examples give {there} training samples; {SAMPLES} are compared")
    if bench.subject.built.task.compares_samples:
        raise Skipped("the loss compares the samples of a batch with each other: several batches are no larger one")
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
    raise Lacking("random numbers are drawn for each batch; set dropout and the like to 0 in a recipe, and verify that")


def _apart(one: Gradients, other: Gradients) -> Difference:
    if len(one) != len(other):
        return Difference(float("inf"), f"{len(one)} steps and {len(other)}")
    scale = max((float(g.abs().max()) for step in one for g in step.values() if g.numel()), default=0.0)
    if scale == 0:
        raise Lacking("all gradients are 0 before training")
    found = []
    for number, (mine, theirs) in enumerate(zip(one, other, strict=True), 1):
        apart = of_tensors(mine, theirs, scale)
        found.append(Difference(apart.size, f"{apart.where} at step {number}"))
    return largest(found)
