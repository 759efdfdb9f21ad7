"""How much a user likes an item: ratings, their squared error, and its root."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric

from taskkit import Batch, DataSpec, Example, Headline, Mean, Of, Prediction, Statistic, Step, Task, root_mean
from taskkit_recsys import facts, sections
from taskkit_recsys.biases import Biases
from taskkit_recsys.processor import PairProcessor


class Rating(Task[sections.Rating, PairProcessor]):
    """Squared error of ratings, for a network that answers them, of shape (batch,)."""

    headline = Headline("rmse", "min")

    def __init__(self, config: sections.Rating, network: nn.Module, processor: PairProcessor, spec: DataSpec) -> None:
        super().__init__(config, network, processor, spec)
        assert isinstance(spec.target, facts.Rating)
        self.low, self.high = spec.target.low, spec.target.high

    def step(self, batch: Batch) -> Step:
        """The mean squared error; judged are ratings that can be given."""
        ratings, target = self(batch).float(), batch["target"]
        loss = F.mse_loss(ratings, target)
        scored = {"preds": self._on_scale(ratings.detach()), "target": target}
        return Step(loss, count=len(target), outputs=ratings, scored=scored)

    def metrics(self) -> Mapping[str, Metric]:
        """The root of the mean squared error, and the mean absolute error."""
        return {"rmse": MeanSquaredError(squared=False), "mae": MeanAbsoluteError()}

    def scores(self, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        """The error of each rating, squared and absolute, and the loss, which knows no scale."""
        error = step.scored["preds"] - step.scored["target"]
        loss = F.mse_loss(step.outputs.float(), batch["target"], reduction="none")
        return {"squared_error": error**2, "absolute_error": error.abs(), "loss": loss}

    def statistics(self) -> Mapping[str, Statistic]:
        """The errors, and the loss."""
        return {
            "rmse": Of(root_mean, ("squared_error",), ideal=0.0),
            "mae": Mean("absolute_error", ideal=0.0),
            "loss": Mean("loss", ideal=0.0),
        }

    def predict(self, batch: Batch, outputs: Tensor, examples: Sequence[Example], options: Any) -> Sequence[Prediction]:
        """The rating of each pair, from `outputs` (batch,)."""
        return [{"prediction": round(rating, 4)} for rating in self._on_scale(outputs.float()).tolist()]

    def baseline(self, train: Sequence[Example], test: Sequence[Example]) -> Mapping[str, float]:
        """The errors of answering what the user and the item are rated on average in the training split, on the scale.

        The mean of all ratings alone would be beaten by a model that knows nothing of how the two go together.
        """
        answers = Biases.of(train).ratings(test).clip(self.low, self.high)
        errors = answers - [float(example.target) for example in test]
        return {"rmse": float(np.sqrt(np.square(errors).mean())), "mae": float(np.abs(errors).mean())}

    def protocol(self) -> Mapping[str, Any]:
        """What happens to ratings outside of the scale."""
        return {"ratings": f"cut to {self.low:g} … {self.high:g}"}

    def _on_scale(self, ratings: Tensor) -> Tensor:
        return ratings.clamp(self.low, self.high)
