"""Proofs by judging one set of weights: in batches of other sizes, in other orders, and by several processes.

`python -m taskkit.verify.judging RUN SPLIT EXAMPLES PROCESSES OUT` judges a run's weights by so many processes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from taskkit.apart import Difference, largest, of_numbers
from taskkit.batches.encode import encode
from taskkit.contracts.facts import Split
from taskkit.engine import build
from taskkit.engine.evaluate import Evaluation
from taskkit.engine.loaders import PlaceLoaders, for_judging
from taskkit.engine.module import TaskModule
from taskkit.engine.placement import alone
from taskkit.engine.trainer import make_trainer, quiet
from taskkit.loaded_run import load_run
from taskkit.verify.bench import Bench, Judged, Lacking, concluded, here
from taskkit.verify.finding import Finding

METRIC_LIMIT = 1e-4
"""Of metrics and scores, or of 1 where they are larger than that."""
PROCESSES = 2
SHARED = 3
"""Examples that are shared out, at least: fewer would be as many for each process."""
FILE = "judged.json"


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


def processes(bench: Bench) -> Finding:
    """Judge one set of weights by two processes that share the examples out unevenly."""
    judged, out = bench.judged, bench.lab.new_folder()
    out.mkdir()
    # An odd number, of which one process has an example more.
    count = len(judged.examples) - (len(judged.examples) % 2 == 0)
    if count < SHARED:
        raise Lacking(f"these data and --examples give {count} examples to judge; {SHARED} are shared out")
    one = evaluation(judged, 4, range(count))
    words = [bench.weights.path, judged.split, count, PROCESSES, out / FILE]
    bench.lab.call(["taskkit.verify.judging", *map(str, words)])
    found = json.loads((out / FILE).read_text())
    other = replace(one, results={k: torch.tensor(v) for k, v in found["metrics"].items()}, rows=found["rows"])
    apart = largest([_of_evaluations(one, other), _of_rows(one, other)])
    what = f"metrics and scores of {count} {judged.split} examples that one and two processes (gloo on the CPU) judge"
    advice = (
        "A metric adds up what it saw in its own process alone, or counts examples that were given out twice: keep its "
        "state by `add_state(…, dist_reduce_fx=…)`, as torchmetrics' own do."
    )
    return concluded("processes", bench, what, apart, METRIC_LIMIT, advice, here())


def evaluation(judged: Judged, batch_size: int, numbers: Sequence[int] | None = None, processes: int = 1) -> Evaluation:
    """Judge the examples by their numbers, in this order, in batches of so many, on the CPU in 32 bits.

    Of several processes the first alone has the rows.
    """
    examples = judged.examples if numbers is None else [judged.examples[number] for number in numbers]
    recipe = judged.built.recipe
    loader_ = replace(recipe.loader, eval_batch_size=batch_size, budget=None)
    trainer_ = replace(alone(replace(recipe.trainer, accelerator="cpu")), precision="32-true", profiler=None)
    if processes > 1:
        trainer_ = replace(trainer_, devices=processes, strategy="ddp")
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


def _of_rows(one: Evaluation, other: Evaluation) -> Difference:
    """None where both judged the same examples in the same order; else infinite."""
    mine, theirs = ([row["id"] for row in each.rows] for each in (one, other))
    if mine == theirs:
        return Difference(0.0, "")
    return Difference(float("inf"), f"the examples: {len(theirs)} rows of two processes, {len(mine)} of one")


def _scores(evaluation: Evaluation, numbers: Mapping[str, int]) -> dict[str, float]:
    """The numbers in the rows of an evaluation, by the column and the example's number."""
    return {
        f"{column} of example {numbers[row['id']]}": float(value)
        for row in evaluation.rows
        for column, value in row.items()
        if column not in ("id", "target") and isinstance(value, float)
    }


def _main(path: str, split: Split, count: str, processes_: str, out: str) -> None:
    run = load_run(path)
    with quiet():
        prepared = build.prepare(build.data_module(run.built.recipe), run.built.recipe)
    head = build.head(prepared, split)
    judged = Judged(replace(run.built, spec=prepared.spec), [head[number] for number in range(int(count))], split)
    found = evaluation(judged, 4, processes=int(processes_))
    if not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0:
        rows = [{k: v for k, v in row.items() if k in ("id", "group") or isinstance(v, float)} for row in found.rows]
        Path(out).write_text(json.dumps({"metrics": found.numbers, "rows": rows}))


if __name__ == "__main__":
    _main(*sys.argv[1:])  # type: ignore[arg-type]  # the one that calls it names a split
