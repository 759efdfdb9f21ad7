"""Whether a program answers what the network answers, on examples and in shapes that it was not exported by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from taskkit.apart import Difference, largest, magnitude, of_tensor
from taskkit.contracts.facts import Example, Prediction
from taskkit.contracts.model import Sample
from taskkit.engine.build import Built
from taskkit.engine.evaluate import answers
from taskkit.handover.answers import tensors
from taskkit.handover.asking import Ask, Outputs, answering, asked, batch_of, other_length
from taskkit.handover.export import Shapes, shapes

SIZES = (1, 4, 7)
"""Samples of the batches that are compared: none of them is a size that a program is exported by."""
OTHER = 2
"""Samples of the batch of another length than theirs."""
LIMIT = 1e-4
"""Of the largest magnitude of an output, or of 1 where that is larger."""


@dataclass(frozen=True)
class Parity:
    """How far a program's answers are from the network's."""

    apart: Difference
    """In units of the largest magnitude of the output, or of 1."""
    shapes: tuple[Shapes, ...]
    """Those of the batches, each once."""
    answers: int | None
    """Predictions that were compared; None: the task predicts nothing of its own."""
    changed: tuple[str, ...]
    """Ids of examples whose prediction is another."""
    limit: float = LIMIT
    others: float = 0.0
    """The share of predictions that may be others."""

    @property
    def holds(self) -> bool:
        """Whether it answers alike: within the limit, and no more predictions are others than may be."""
        return self.apart.size <= self.limit and len(self.changed) <= self.others * (self.answers or 0)


def parity(
    built: Built,
    used: Sequence[Shapes],
    ask: Ask,
    examples: Sequence[Example],
    samples: Sequence[Sample],
    limit: float = LIMIT,
    others: float = 0.0,
) -> Parity:
    """Ask a network and its program about samples, each with its example, in batches of other sizes than any before.

    The samples are asked over again where they are fewer than a batch; batches of the shapes that were `used` to export
    are left out. `others` is the share of predictions that may be others.
    """
    differences, seen, changed, compared = list[Difference](), list[Shapes](), list[str](), 0
    batches: list[tuple[Sequence[Sample], Sequence[Example]]] = [
        ([samples[n] for n in numbers], [examples[n] for n in numbers]) for numbers in _batches(len(samples))
    ]
    # Of what no example is, the network's answers are compared and not the predictions.
    if changed_length := other_length(built, samples[:OTHER]):
        batches.append((changed_length, ()))
    for few, own in batches:
        _, answer, eager = asked(built, batch_of(built, few, complete=False))
        batch = batch_of(built, few, complete=True)
        with answering(built.network, ask):
            inputs, outputs, handed_over = asked(built, batch)
        if (here := shapes(inputs)) in used:
            continue
        seen += [here] if here not in seen else []
        differences.append(apart(tensors(answer), tensors(outputs), f"of a batch of {len(few)}"))
        if own and predicts(built):
            with torch.no_grad():
                one, other = (
                    answers(built.task, built.recipe.task, batch, said, own, built.task.predict_options())
                    for said in (eager, handed_over)
                )
            pairs = zip(own, one, other, strict=True)
            changed += [example.id for example, mine, theirs in pairs if not same(mine, theirs, limit)]
            compared += len(own)
    answered = compared if predicts(built) else None
    return Parity(largest(differences), tuple(seen), answered, tuple(dict.fromkeys(changed)), limit, others)


def _batches(count: int) -> Iterator[list[int]]:
    """The numbers of the samples of each batch: a batch of each size, and then all others in those of the last."""
    at = 0
    while at < max(count, sum(SIZES)):
        size = next((size for n, size in enumerate(SIZES) if at == sum(SIZES[:n])), SIZES[-1])
        yield [number % count for number in range(at, at + size)]
        at += size


def apart(network: Outputs, program: Outputs, where: str) -> Difference:
    """How far two answers are apart, in units of the largest magnitude of each output, or of 1."""
    lacking = [Difference(float("inf"), f"{name} {where}") for name in network.keys() ^ program.keys()]
    both = network.keys() & program.keys()
    return largest(
        lacking
        + [
            of_tensor(f"{name} {where}", network[name], program[name], max(1.0, magnitude(network[name])))
            for name in sorted(both)
        ]
    )


def predicts(built: Built) -> bool:
    """Whether the task puts answers into words without asking the network again and again, as where it generates."""
    return built.task.predicts and built.task.predicts_in_test


def same(one: Prediction, other: Prediction, limit: float = LIMIT) -> bool:
    """Whether two predictions say the same; numbers may be as far apart as the outputs may."""
    return _alike(one["prediction"], other["prediction"], limit)


def _alike(one: Any, other: Any, limit: float) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_alike(one[name], other[name], limit) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(
            _alike(mine, theirs, limit) for mine, theirs in zip(one, other, strict=True)
        )
    if isinstance(one, float) and isinstance(other, float):
        return one == other or abs(one - other) <= limit * max(1.0, abs(one)) or (one != one and other != other)
    return bool(one == other)
