"""The one task that several modalities share: choose one class of a fixed set."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

from taskkit.contracts.data import Batch, SectionT
from taskkit.contracts.explained import Explained
from taskkit.contracts.facts import Classes, DataSpec, Example, Prediction
from taskkit.contracts.model import ProcessorT
from taskkit.contracts.settings import ClassificationOptions
from taskkit.contracts.statistics import Gaps, Mean, NoInterval, Of, Statistic
from taskkit.contracts.task import Headline, Results, Step, Table, Task
from taskkit.contracts.weighted import calibration_gaps, macro_f1, macro_precision, macro_recall
from taskkit.errors import DataError, TaskkitError

if TYPE_CHECKING:
    from torchmetrics import Metric


class Classification(Task[SectionT, ProcessorT], Generic[SectionT, ProcessorT]):
    """Cross-entropy over classes, for a network that answers logits of shape (batch, classes).

    The batch holds `target`, the class numbers, of shape (batch,). `config` is a `taskkit.ClassificationSection` or a
    subclass of it.
    """

    headline = Headline("accuracy", "max")
    predict_options: ClassVar[type] = ClassificationOptions
    """A subclass with options of its own declares them in a subclass of this one."""

    config: Any

    def __init__(self, config: SectionT, network: nn.Module, processor: ProcessorT, spec: DataSpec) -> None:
        super().__init__(config, network, processor, spec)
        assert isinstance(spec.target, Classes)
        self.classes = spec.target.names
        if len(self.classes) < 2:
            raise DataError(
                f"There is one class only, {', '.join(map(repr, self.classes)) or 'or none'}. Two or more were "
                "expected, to choose from. Look at the labels of the training split."
            )
        weights = torch.tensor(spec.target.balanced()) if self.config.class_weights == "balanced" else None
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", weights, persistent=False)

    def soften(self, batch: Batch) -> tuple[Batch, Tensor | None]:
        """Mix a training batch and return its target probabilities (batch, classes); by default it stays as it is."""
        return batch, None

    @property
    def mixes(self) -> bool:
        """Whether there is a `soften`; a subclass whose settings may turn it off says whether they do."""
        return type(self).soften is not Classification.soften

    def logits(self, outputs: Tensor) -> Tensor:
        """What the network answers: logits (batch, classes)."""
        return outputs

    def step(self, batch: Batch) -> Step:
        """Cross-entropy of the logits, with label smoothing and class weights in training only."""
        soft = None
        if self.training:
            batch, soft = self.soften(batch)
        logits: Tensor = self(batch)
        target = batch["target"]
        # Weighted, a mean would be divided by the weights of its own batch: in a batch of one they would do nothing.
        loss = F.cross_entropy(
            logits.float(),
            target if soft is None else soft,
            weight=self.class_weights if self.training else None,
            label_smoothing=self.config.label_smoothing if self.training else 0.0,
            reduction="none",
        ).mean()
        # As logarithms: metrics take a batch of numbers that all are between 0 and 1 for probabilities.
        preds = _log_probabilities(logits.detach())
        scored: dict[str, Any] = {"preds": preds, "target": target}
        if not self.training and len(self.classes) > self.config.top_k:
            # Places instead of probabilities: no two of them are equal.
            places = _ranked(preds).argsort(-1)
            scored[f"top{self.config.top_k}_accuracy"] = {"preds": -places.float(), "target": target}
        return Step(loss, len(target), outputs=logits, scored=scored)

    def metrics(self) -> Mapping[str, Metric]:
        """Accuracy, top-k accuracy where there are more than k classes, macro averages, confusion and calibration."""
        from torchmetrics.classification import (  # which a run that is asked needs not wait for
            MulticlassAccuracy,
            MulticlassCalibrationError,
            MulticlassConfusionMatrix,
            MulticlassF1Score,
            MulticlassPrecision,
            MulticlassRecall,
        )

        n, k = len(self.classes), self.config.top_k
        metrics: dict[str, Metric] = {
            "accuracy": MulticlassAccuracy(n, average="micro"),
            "precision": MulticlassPrecision(n, average="macro"),
            "recall": MulticlassRecall(n, average="macro"),
            "f1": MulticlassF1Score(n, average="macro"),
            "calibration_error": MulticlassCalibrationError(n, n_bins=15),
            "confusion": MulticlassConfusionMatrix(n),
        }
        if n > k:
            metrics[f"top{k}_accuracy"] = MulticlassAccuracy(n, top_k=k, average="micro")
        return metrics

    def scores(self, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        """Whether each answer is right, or among the first k where there are more than k classes; its cross-entropy."""
        target, k = batch["target"], self.config.top_k
        hits, first = _ranked(step.scored["preds"]) == target[:, None], {}
        if len(self.classes) > k:
            first = {f"top{k}_correct": hits[:, :k].any(-1).float()}
        return {
            "correct": hits[:, 0].float(),
            **first,
            "cross_entropy": F.cross_entropy(step.outputs.float(), target, reduction="none"),
        }

    def statistics(self) -> Mapping[str, Statistic | NoInterval]:
        """Accuracies are means, the averages over classes functions of all examples, the calibration error of gaps."""
        named = ("target", "prediction")
        k, first = self.config.top_k, dict[str, Statistic]()
        if len(self.classes) > k:
            first = {f"top{k}_accuracy": Mean(f"top{k}_correct", ideal=1.0)}
        return {
            "accuracy": Mean("correct", ideal=1.0),
            **first,
            "precision": Of(macro_precision, named, ideal=1.0),
            "recall": Of(macro_recall, named, ideal=1.0),
            "f1": Of(macro_f1, named, ideal=1.0),
            "calibration_error": Gaps(calibration_gaps, ("probability", "correct"), ideal=0.0),
            "loss": Mean("cross_entropy", ideal=0.0),
        }

    def predict(self, batch: Batch, outputs: Tensor, examples: Sequence[Example], options: Any) -> Sequence[Prediction]:
        """The most probable class, its probability, and the runners-up, from logits (batch, classes).

        `probabilities` of all classes and their `entropy`, in nats, where they are asked for.
        """
        top = _ranked(_log_probabilities(outputs))[:, : options.top or self.config.top_k]
        probabilities = outputs.float().softmax(-1)
        rows: list[dict[str, Any]] = [
            {
                "prediction": self.classes[where[0]],
                "probability": values[0],
                "top": {self.classes[i]: p for i, p in zip(where, values, strict=True)},
            }
            for where, values in zip(top.tolist(), probabilities.gather(-1, top).tolist(), strict=True)
        ]
        if options.probabilities:
            for row, values in zip(rows, probabilities.tolist(), strict=True):
                row["probabilities"] = dict(zip(self.classes, values, strict=True))
        if options.entropy:
            for row, value in zip(rows, torch.special.entr(probabilities).sum(-1).tolist(), strict=True):
                row["entropy"] = value
        return rows

    def explained(self, batch: Batch, outputs: Tensor, options: Any, wanted: str | None) -> Explained:
        """The logit of the most probable class, or of the one that is `wanted`, from logits (1, classes).

        Raises TaskkitError for what is no class.
        """
        if wanted is not None and wanted not in self.classes:
            known = ", ".join(self.classes[:10]) + (", …" if len(self.classes) > 10 else "")
            raise TaskkitError(f"{wanted!r} is no class of this run. Name one of {known}.")
        number = int(outputs[0].argmax()) if wanted is None else self.classes.index(wanted)
        return Explained(self.classes[number], "logit", lambda logits: logits[:, number])

    def baseline(self, train: Sequence[Example], test: Sequence[Example]) -> Mapping[str, float]:
        """Accuracy of always answering the commonest class of the training split."""
        commonest = Counter(example.target for example in train).most_common(1)[0][0]
        return {"accuracy": sum(example.target == commonest for example in test) / len(test)}

    def chance(self) -> float:
        """The cross-entropy of all classes alike, whatever weights and smoothing there are."""
        return math.log(len(self.classes))

    def remarks(self, results: Results, earlier: Sequence[Mapping[str, float]]) -> Iterable[str]:
        """Say so when every answer is one class though the targets are not."""
        answered, targets = (results["confusion"].sum(dim).nonzero().flatten().tolist() for dim in (0, 1))
        if len(answered) == 1 and len(targets) > 1:
            yield (
                f"Every answer is {self.classes[answered[0]]!r}. If it stays so, train longer, lower optim.lr or add "
                "optim.warmup; where one class is most of the data, set task.class_weights=balanced."
            )

    def tables(self, results: Results) -> Mapping[str, Table]:
        """Precision, recall and F1 of each class, and the confusion matrix: a row a true class, a column an answer."""
        confusion = results["confusion"]
        rows = confusion.tolist()
        columns = {name: [row[i] for row in rows] for i, name in enumerate(self.classes)}
        right, examples, answers = confusion.diag().double(), confusion.sum(1), confusion.sum(0)
        return {
            "classes": {
                "class": list(self.classes),
                "examples": examples.tolist(),
                # Of a class that is never answered, or never right, the share is 0, as in the macro averages.
                "precision": (right / answers.clamp(min=1)).tolist(),
                "recall": (right / examples.clamp(min=1)).tolist(),
                "f1": (2 * right / (answers + examples).clamp(min=1)).tolist(),
            },
            "confusion": {"true \\ predicted": list(self.classes), **columns},
        }


def _log_probabilities(logits: Tensor) -> Tensor:
    return logits.float().log_softmax(dim=-1)


def _ranked(preds: Tensor) -> Tensor:
    """The classes of each answer, the most probable first, both (batch, classes); of equal ones the first.

    So does argmax, by which metrics count. Logits of 16 bits are often equal, and `topk` would choose otherwise.
    """
    return torch.sort(preds, dim=-1, descending=True, stable=True).indices
