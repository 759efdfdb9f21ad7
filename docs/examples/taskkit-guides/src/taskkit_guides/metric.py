"""taskkit's own classification, with two metrics more."""

from collections.abc import Mapping
from dataclasses import replace

from taskkit import Batch, Classification, ClassificationSection, Mean, NoInterval, Of, Processor, Statistic, Step
from torch import Tensor
from torch.nn import functional
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassCohenKappa

from taskkit_guides.agreement import kappa


class Classify(Classification[ClassificationSection, Processor]):
    """Choose one class for each image, judged by the Brier score and Cohen's kappa too."""

    def step(self, batch: Batch) -> Step:
        """What stands under a metric's own name is for that metric alone."""
        step = super().step(batch)
        scores = brier(step.outputs.detach(), batch["target"])
        return replace(step, scored={**step.scored, "brier": {"value": scores}})

    def metrics(self) -> Mapping[str, Metric]:
        """Any of torchmetrics will do, or one of your own; kappa takes what the others take."""
        return {**super().metrics(), "brier": MeanMetric(), "kappa": MulticlassCohenKappa(len(self.classes))}

    def scores(self, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        """One number for each example, kept in predictions.parquet."""
        return {**super().scores(batch, step), "brier": brier(step.outputs, batch["target"])}

    def statistics(self) -> Mapping[str, Statistic | NoInterval]:
        """How they follow from these: then they have intervals, and `taskkit compare` tests their differences."""
        ours = {"brier": Mean("brier", ideal=0.0), "kappa": Of(kappa, ("target", "prediction"), ideal=1.0)}
        return {**super().statistics(), **ours}


def brier(logits: Tensor, target: Tensor) -> Tensor:
    """The squared distance of each answer from the truth: (batch, classes) and (batch,) to (batch,)."""
    truth = functional.one_hot(target, logits.shape[1])
    return (logits.float().softmax(dim=1) - truth).square().sum(dim=1)
