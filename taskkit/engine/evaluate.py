"""Judging a task on a split, example by example, and asking it about new inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch

from taskkit.batches.loader import Loader
from taskkit.batches.plan import plan
from taskkit.batches.store import Encoded, encode
from taskkit.contracts.data import Batch
from taskkit.contracts.facts import DataSpec, Example, Prediction
from taskkit.contracts.model import Processor
from taskkit.contracts.task import Step, Task


@dataclass
class _Row:
    prediction: Prediction
    scores: Mapping[str, float]


class Rows(pl.Callback):
    """Collects one row per test example: id, target, prediction and scores."""

    def __init__(self, examples: Sequence[Example], spec: DataSpec) -> None:
        self.examples = examples
        self.spec = spec
        self.parts: list[tuple[int, _Row]] = []
        self.rows: list[dict[str, Any]] = []

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin anew."""
        self.parts, self.rows = [], []

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a batch's predictions and scores."""
        assert isinstance(pl_module, Task)
        step: Step = outputs["step"]
        blank: Sequence[Prediction] = [{}] * len(batch["example"])
        predictions = pl_module.predict(batch, step.outputs) if pl_module.predicts else blank
        columns = {name: values.tolist() for name, values in pl_module.scores(batch, step).items()}
        for i, number in enumerate(batch["example"].tolist()):
            scores = {name: values[i] for name, values in columns.items()}
            self.parts.append((number, _Row(predictions[i], scores)))

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the rows of all processes together, in the order of the examples."""
        assert isinstance(pl_module, Task)
        self.rows = [self._row(number, parts, pl_module) for number, parts in gather(self.parts)]

    def _row(self, number: int, parts: Sequence[_Row], task: Task) -> dict[str, Any]:
        example = self.examples[number]
        scores = {k: sum(p.scores[k] for p in parts) / len(parts) for k in parts[0].scores}
        target = None if example.target is None else self.spec.target.readable(example.target)
        return {"id": example.id, "target": target, **_joined([p.prediction for p in parts], task), **scores}


def gather(parts: list[tuple[int, Any]]) -> Iterable[tuple[int, list[Any]]]:
    """The parts of each example by its number, from all processes, each example in order."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        everywhere: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(everywhere, parts)
        parts = [part for one in everywhere for part in one]
    together: dict[int, list[Any]] = {}
    for number, part in sorted(parts, key=lambda pair: pair[0]):
        together.setdefault(number, []).append(part)
    return together.items()


def sequential(
    encoded: Encoded, processor: Processor, batch_size: int, budget: float | None = None, **options: Any
) -> Loader:
    """A loader that hands over every sample once, shared out over the processes."""
    return Loader(encoded, processor, plan(encoded, processor, batch_size, budget), **options)


def predict(task: Task, examples: Sequence[Example], trainer: pl.Trainer, batch_size: int = 64) -> list[Prediction]:
    """One prediction per example, in their order."""
    loader = sequential(encode(examples, task.processor, key=None), task.processor, batch_size, resident="no")
    answers = trainer.predict(task, loader, return_predictions=True)
    parts = [pair for numbers, predictions in answers or () for pair in zip(numbers, predictions, strict=True)]
    return [_joined(found, task) for _, found in gather(parts)]


def _joined(parts: Sequence[Prediction], task: Task) -> Prediction:
    return parts[0] if len(parts) == 1 or not task.predicts else task.join(parts)
