"""Proofs by judging one set of weights: in batches of other sizes, and in other orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from taskkit.apart import Difference, largest, of_numbers
from taskkit.batches.encode import encode
from taskkit.engine.evaluate import Evaluation
from taskkit.engine.loaders import PlaceLoaders, for_judging
from taskkit.engine.module import TaskModule
from taskkit.engine.trainer import alone, make_trainer, quiet
from taskkit.verify.bench import Bench, Judged, concluded, here
from taskkit.verify.finding import Finding

METRIC_LIMIT = 1e-4
"""Of metrics and scores, or of 1 where they are larger than that."""


def batch_size(bench: Bench) -> Finding:
    """Judge one set of weights in batches of 1, 5 and 16."""
    judged = bench.judged
    found = {size: evaluation(judged, size) for size in (1, 5, 16)}
    apart = largest(_of_evaluations(found[1], other) for size, other in found.items() if size != 1)
    what = f"metrics and scores of {judged.said} in batches of 1, 5 and 16"
    advice = (
        "What a network answers, or a metric counts, depends on what else is in the batch: look at padding and its "
        "mask, at normalisation over the batch, and at means of means in metrics."
    )
    return concluded("batch-size", bench, what, apart, METRIC_LIMIT, advice, here())


def order(bench: Bench) -> Finding:
    """Judge one set of weights on examples in three orders."""
    judged, numbers = bench.judged, np.random.default_rng(bench.bounds.seed)
    shuffled = numbers.permutation(len(judged.examples)).tolist()
    straight = evaluation(judged, 4)
    others = [evaluation(judged, 4, each) for each in (range(len(shuffled))[::-1], shuffled)]
    apart = largest(_of_evaluations(straight, other) for other in others)
    what = f"metrics and scores of {judged.said} in order, backwards and shuffled"
    advice = "A metric or a task remembers what it saw before, or an answer depends on what else is in the batch."
    return concluded("order", bench, what, apart, METRIC_LIMIT, advice, here())


def evaluation(judged: Judged, batch_size: int, numbers: Sequence[int] | None = None) -> Evaluation:
    """Judge the examples by their numbers, in this order, in batches of so many, on the CPU in 32 bits."""
    examples = judged.examples if numbers is None else [judged.examples[number] for number in numbers]
    recipe = judged.built.recipe
    loader_ = replace(recipe.loader, eval_batch_size=batch_size, budget=None)
    trainer_ = replace(alone(replace(recipe.trainer, accelerator="cpu")), precision="32-true", profiler=None)
    built = replace(judged.built, recipe=replace(recipe, loader=loader_, trainer=trainer_))
    encoded = encode(examples, built.processor, key=None)
    loader = for_judging(built, encoded, resident="no", workers=0)
    with quiet():
        trainer = make_trainer(built.recipe, [PlaceLoaders([loader])])
        found = TaskModule(built.task, recipe.task).test(trainer, loader, examples, built.spec, folder=None)
    if built.task.compares_samples:  # Its loss is one of each batch.
        return replace(found, results={name: value for name, value in found.results.items() if name != "loss"})
    return found


def _of_evaluations(one: Evaluation, other: Evaluation) -> Difference:
    # What is found is kept with the run, which may be one that names no example.
    numbers = {row["id"]: number for number, row in enumerate(one.rows, 1)}
    return largest(
        [
            of_numbers(one.numbers, other.numbers, relative=True),
            of_numbers(_scores(one, numbers), _scores(other, numbers), relative=True),
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
