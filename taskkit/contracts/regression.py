"""The other task that several modalities share: predict one number for each example, or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

from taskkit.contracts.data import Batch, SectionT
from taskkit.contracts.facts import DataSpec, Example, Prediction, Values
from taskkit.contracts.model import ProcessorT
from taskkit.contracts.statistics import Mean, NoInterval, Of, Statistic
from taskkit.contracts.task import Headline, Results, Step, Table, Task
from taskkit.contracts.weighted import mean_r2, r2, root_mean

if TYPE_CHECKING:
    from torchmetrics import Metric

LOSSES: Mapping[str, Callable[..., Tensor]] = {"squared": F.mse_loss, "absolute": F.l1_loss, "huber": F.huber_loss}


class Regression(Task[SectionT, ProcessorT], Generic[SectionT, ProcessorT]):
    """Numbers of shape (batch, values), for a network that answers them in standard deviations from their means.

    A network of one value may answer (batch,). The batch holds `target`, float (batch, values), in the units of the
    data; means and deviations are those of the training targets, as the Values state them. `config` is a
    `taskkit.RegressionSection` or a subclass of it.
    """

    headline = Headline("rmse", "min")
    config: Any
    means: Tensor
    deviations: Tensor

    def __init__(self, config: SectionT, network: nn.Module, processor: ProcessorT, spec: DataSpec) -> None:
        super().__init__(config, network, processor, spec)
        assert isinstance(spec.target, Values)
        self.names = spec.target.names
        count = len(self.names)
        self.register_buffer("means", torch.tensor(spec.target.means or [0.0] * count), persistent=False)
        self.register_buffer("deviations", torch.tensor(spec.target.deviations or [1.0] * count), persistent=False)

    def step(self, batch: Batch) -> Step:
        """The loss of standardised values, so that values of any unit weigh alike; judged are those of the data."""
        target = batch["target"]
        answers = self(batch).float().reshape(target.shape)
        wanted = ((target - self.means) / self.deviations).float()
        loss, detached = LOSSES[self.config.loss](answers, wanted), answers.detach()
        # R² is the same in any unit, and its sums of squares lose their digits where values lie far from zero.
        alone = {"r2": {"preds": detached, "target": wanted}}
        scored = {"preds": self._values(detached), "target": target, **alone}
        return Step(loss, len(target), outputs=answers, scored=scored)

    def metrics(self) -> Mapping[str, Metric]:
        """Root of the mean squared error, mean absolute error and R², over all values; with several, RMSE of each."""
        from torchmetrics import MeanAbsoluteError, MeanSquaredError, R2Score  # which an answer needs not

        count = len(self.names)
        together: dict[str, Metric] = {
            "rmse": MeanSquaredError(squared=False),
            "mae": MeanAbsoluteError(),
            "r2": R2Score(),
        }
        return together if count == 1 else {**together, "rmse_each": MeanSquaredError(squared=False, num_outputs=count)}

    def scores(self, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        """The mean squared and absolute error of each example, its loss, and of several values each by itself."""
        answers, target = step.scored["preds"], batch["target"]
        error = answers - target
        standardised = {"input": step.scored["r2"]["preds"], "target": step.scored["r2"]["target"]}
        several = {} if len(self.names) == 1 else dict(zip(self._columns, [*target.T, *answers.T], strict=True))
        return {
            "squared_error": error.square().mean(1),
            "absolute_error": error.abs().mean(1),
            "loss": LOSSES[self.config.loss](**standardised, reduction="none").mean(1),
            **several,
        }

    def statistics(self) -> Mapping[str, Statistic | NoInterval]:
        """The errors, R² of one value or of several, and the loss."""
        alone = len(self.names) == 1
        return {
            "rmse": Of(root_mean, ("squared_error",), ideal=0.0),
            "mae": Mean("absolute_error", ideal=0.0),
            "r2": Of(r2, ("target", "prediction"), ideal=1.0) if alone else Of(mean_r2, self._columns, ideal=1.0),
            "loss": Mean("loss", ideal=0.0),
        }

    def predict(self, batch: Batch, outputs: Tensor, examples: Sequence[Example], options: Any) -> Sequence[Prediction]:
        """The number, or a mapping from names to numbers."""
        rows = self._values(outputs.float().reshape(len(examples), -1)).tolist()
        return [{"prediction": row[0] if len(row) == 1 else dict(zip(self.names, row, strict=True))} for row in rows]

    def baseline(self, train: Sequence[Example], test: Sequence[Example]) -> Mapping[str, float]:
        """The errors of always answering the means of the training targets."""
        target = torch.tensor([[*example.target] for example in test])
        mean = torch.tensor([[*example.target] for example in train]).mean(0)
        error = target - mean
        return {"rmse": float(error.square().mean().sqrt()), "mae": float(error.abs().mean())}

    def chance(self) -> float | None:
        """The squared error of the means of the training targets, which is that of standardised values: 1."""
        assert isinstance(self.spec.target, Values)
        return 1.0 if self.config.loss == "squared" and self.spec.target.means else None

    def tables(self, results: Results) -> Mapping[str, Table]:
        """With several values: the root of the mean squared error of each."""
        if "rmse_each" not in results:
            return {}
        return {"rmse_each": {"value": list(self.names), "rmse": results["rmse_each"].tolist()}}

    @property
    def _columns(self) -> tuple[str, ...]:
        """The scores that hold the targets and then the predictions of several values."""
        return tuple(f"{what}.{name}" for what in ("target", "prediction") for name in self.names)

    def _values(self, standardised: Tensor) -> Tensor:
        return standardised * self.deviations + self.means
