"""What a test gives, one row an example, and the answers to those who ask a task about new inputs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from taskkit.batches.loader import HostBatch, Loader
from taskkit.batches.plan import plan
from taskkit.batches.store import Encoded
from taskkit.compare.intervals import intervals
from taskkit.compare.rows import Rows
from taskkit.contracts.component import Chosen
from taskkit.contracts.data import Batch, Stream
from taskkit.contracts.facts import Attachment, DataSpec, Example, Prediction, Split
from taskkit.contracts.model import Processor
from taskkit.contracts.statistics import NoInterval, Ratio, Statistic
from taskkit.contracts.task import Results, Step, Task
from taskkit.engine.guard import calling
from taskkit.errors import RunFailedError
from taskkit.runs.attachments import attached, file_name
from taskkit.runs.encryption import EncryptionKey
from taskkit.runs.manifest import Interval
from taskkit.wording import TELL_AUTHORS

log = logging.getLogger("taskkit")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What judging a task on a split gave."""

    results: Results
    """What each metric came to, also those that are not one number."""
    rows: Sequence[Mapping[str, Any]] = ()
    """For each example its id, target, prediction and scores; kept by the first process alone."""
    protocol: Mapping[str, Any] = field(default_factory=dict)
    """What decides how these results may be compared."""
    statistics: Mapping[str, Statistic | NoInterval] = field(default_factory=dict)
    """How metrics follow from the rows."""
    split: Split = "test"

    @cached_property
    def intervals(self) -> Mapping[str, Interval]:
        """Of those metrics for which there is a statistic, named as in `metrics`; some seconds' work for many rows."""
        wanted = {column for statistic in self.statistics.values() for column in statistic.columns}
        found = intervals(Rows.of(self.rows, wanted), self.statistics, self.numbers) if self.rows else {}
        return {f"{self.split}/{name}": interval for name, interval in found.items()}

    @property
    def without_interval(self) -> Mapping[str, Sequence[str]]:
        """The metrics that should have an interval by their task and have none, by the reason."""
        found: dict[str, list[str]] = {}
        for name, statistic in self.statistics.items():
            interval = self.intervals.get(f"{self.split}/{name}")
            if interval is not None and interval.low is None and not isinstance(statistic, NoInterval):
                found.setdefault(interval.note, []).append(name)
        return found

    @property
    def numbers(self) -> dict[str, float]:
        """The metrics that are one number."""
        from taskkit.engine.judge import numbers  # whose libraries an answer needs not

        return numbers(self.results)

    @property
    def metrics(self) -> dict[str, float]:
        """The same as run.json names them: `test/accuracy`."""
        return {f"{self.split}/{name}": value for name, value in self.numbers.items()}


@dataclass
class _Part:
    prediction: Prediction
    scores: Mapping[str, float]


class Collector:
    """Collects one row for each example of a split: id, group where the data name any, target, prediction, scores.

    Of an example of several samples, as windows are, the scores that are part of a Ratio add up, and the others are
    means.
    Attachments of predictions are written into `folder`, encrypted where there is a key, and a row has their path
    relative to the folder around it; without one they stay in the row.
    """

    def __init__(
        self,
        examples: Sequence[Example] | Stream,
        task: Task,
        owner: Chosen,
        spec: DataSpec,
        statistics: Mapping[str, Statistic | NoInterval],
        folder: Path | None,
        key: EncryptionKey | None = None,
    ) -> None:
        self.examples = examples
        self.task = task
        self.sums = {column for each in statistics.values() if isinstance(each, Ratio) for column in each.columns}
        self.owner = owner
        self.spec = spec
        self.folder = folder
        self.key = key
        self.parts: list[tuple[tuple[int, int], _Part]] = []

    def add(self, host: HostBatch, step: Step) -> None:
        """Keep a batch's predictions and scores."""
        batch = host.tensors
        if isinstance(self.examples, Stream):
            return
        examples = [self.examples[number] for number in batch["example"].tolist()]
        predictions: Sequence[Prediction] = [{}] * len(examples)
        if self.task.predicts and self.task.predicts_in_test:
            predictions = answers(self.task, self.owner, batch, step.outputs, examples, self.task.predict_options())
        with calling(self.owner, "scores"):
            columns = {
                name: self._column(name, values, len(examples))
                for name, values in self.task.scores(batch, step).items()
            }
        for i, key in enumerate(numbered(host)):
            # Where there may be windows to join, they are needed as they are; else memory holds one batch's at a time.
            prediction = predictions[i] if self.task.joins else self._attached(predictions[i], examples[i])
            self.parts.append((key, _Part(prediction, {name: values[i] for name, values in columns.items()})))

    def finished(self) -> list[Mapping[str, Any]]:
        """The rows of all processes together, in the order of the examples."""
        rows = [self._row(number, parts) for number, parts in gather(self.parts)]
        grouped = any(row["group"] is not None for row in rows)
        return rows if grouped else [{name: row[name] for name in row if name != "group"} for row in rows]

    def _column(self, name: str, values: Tensor, examples: int) -> list[float]:
        if values.shape != (examples,):
            raise RunFailedError(
                f"{self.owner.name} ({self.owner.plugin}): the score {name!r} has the shape {tuple(values.shape)}. One "
                f"number for each of the {examples} examples of the batch was expected. {TELL_AUTHORS}"
            )
        scores: list[float] = values.tolist()
        return scores

    def _row(self, number: int, parts: Sequence[_Part]) -> Mapping[str, Any]:
        assert not isinstance(self.examples, Stream)
        example = self.examples[number]
        scores = {
            name: sum(part.scores[name] for part in parts) / (1 if name in self.sums else len(parts))
            for name in parts[0].scores
        }
        target = None if example.target is None else self.spec.target.readable(example.target)
        whole = joined([part.prediction for part in parts], self.task, self.task.predict_options())
        known = {"id": example.id, "group": example.group, "target": target}
        return {**known, **self._attached(whole, example), **scores}

    def _attached(self, prediction: Prediction, example: Example) -> Prediction:
        if self.folder is None:
            return prediction
        return attached(prediction, self.folder, file_name(example.id), self.folder.parent, self.key)


def gather(parts: list[tuple[tuple[int, int], Any]]) -> Iterable[tuple[int, list[Any]]]:
    """The parts of each example by its number, from all processes, in order, as its windows are.

    A part comes with the numbers of its example and of its sample.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        everywhere: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(everywhere, parts)
        parts = [part for one in everywhere for part in one]
    return together(parts)


def together(parts: Iterable[tuple[tuple[int, int], Any]]) -> Iterable[tuple[int, list[Any]]]:
    """The parts of each example by its number, in order."""
    found: dict[int, list[Any]] = {}
    for (number, _), part in sorted(parts, key=lambda pair: pair[0]):
        found.setdefault(number, []).append(part)
    return found.items()


def numbered(host: HostBatch) -> list[tuple[int, int]]:
    """For each sample of a batch the number of its example, and its own."""
    return list(zip(host.tensors["example"].tolist(), host.indices.tolist(), strict=True))


def sequential(
    encoded: Encoded, processor: Processor, batch_size: int, budget: float | None = None, **options: Any
) -> Loader:
    """A loader that hands over every sample once, shared out over the processes."""
    return Loader(encoded, processor, plan(encoded, processor, batch_size, budget), **options)


def answers(
    task: Task, owner: Chosen, batch: Batch, outputs: Any, examples: Sequence[Example], options: Any
) -> Sequence[Prediction]:
    """A task's predictions for a batch; raises RunFailedError unless there is one for each sample, as a mapping."""
    with calling(owner, "predict"):
        predictions = task.predict(batch, outputs, examples, options)
    if not isinstance(predictions, Sequence) or len(predictions) != len(examples):
        count = len(predictions) if isinstance(predictions, Sequence) else f"a {type(predictions).__name__} of"
        raise RunFailedError(
            f"{owner.name} ({owner.plugin}): `predict` returned {count} predictions for {len(examples)} samples. A "
            f"list with one for each was expected. {TELL_AUTHORS}"
        )
    for prediction in predictions:
        if not isinstance(prediction, Mapping) or "prediction" not in prediction:
            raise RunFailedError(
                f"{owner.name} ({owner.plugin}): `predict` returned a {type(prediction).__name__} for a sample. A "
                'mapping such as {"prediction": …} of plain values was expected. '
                f"{TELL_AUTHORS}"
            )
        if isinstance(prediction["prediction"], Tensor):
            raise RunFailedError(
                f"{owner.name} ({owner.plugin}): `predict` returned a tensor as a prediction. Plain values were "
                f"expected: call `.tolist()`, or give a taskkit.Attachment. {TELL_AUTHORS}"
            )
        if (odd := _not_plain(prediction["prediction"])) is not None:
            raise RunFailedError(
                f"{owner.name} ({owner.plugin}): `predict` returned a prediction that holds a {odd}. Text, numbers, "
                "lists of such and mappings by text were expected, which JSON can hold, or a taskkit.Attachment. "
                f"{TELL_AUTHORS}"
            )
    return predictions


def _not_plain(value: Any) -> str | None:
    """The type of the first thing in a prediction that no JSON holds; None: there is none."""
    if value is None or isinstance(value, str | bool | int | float | Attachment):
        return None
    if isinstance(value, Mapping):
        return next((f"key of type {type(key).__name__}" for key in value if not isinstance(key, str)), None) or next(
            filter(None, map(_not_plain, value.values())), None
        )
    if isinstance(value, list | tuple):
        return next(filter(None, map(_not_plain, value)), None)
    return type(value).__name__


def joined(parts: Sequence[Prediction], task: Task, options: Any) -> Prediction:
    """One prediction of those of an example's samples, in order."""
    return parts[0] if len(parts) == 1 or not task.predicts else task.join(parts, options)
