"""A task, a model and data: a whole modality in one file."""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MeanAbsoluteError, Metric

from taskkit import (
    Batch,
    DataError,
    DataModule,
    DataProblem,
    DataSpec,
    Example,
    Fact,
    Headline,
    Mean,
    Model,
    Prediction,
    Prepared,
    Processor,
    Results,
    Sample,
    Split,
    Statistic,
    Step,
    Task,
    Unit,
)
from taskkit_series import sections
from taskkit_series.sections import Future, Series

SHARES: dict[Split, tuple[float, float]] = {"train": (0, 0.8), "val": (0.8, 0.9), "test": (0.9, 1.0)}


class Waves(DataModule[sections.Waves]):
    """Sums of two sines with random phases."""

    def prepare(self, target: type[Fact]) -> Prepared:
        """State the lengths, and share the series out by number."""
        c = self.config
        spec = DataSpec(Series(c.length), Future(c.steps), fingerprint=f"waves-{c}")
        splits = {split: self._examples(*shares) for split, shares in SHARES.items()}
        return Prepared(spec, splits, inspect=partial(problems, splits))

    def augment(self, batch: Batch) -> Batch:
        """Add noise to the past."""
        past = batch["past"]
        return {**batch, "past": past + self.config.noise * torch.randn_like(past)}

    def _examples(self, low: float, high: float) -> list[Example]:
        return [
            self._example(number) for number in range(int(low * self.config.series), int(high * self.config.series))
        ]

    def _example(self, number: int) -> Example:
        c = self.config
        values = [math.sin(0.5 * t + number) + math.sin(0.21 * t + number**2) for t in range(c.length + c.steps)]
        if c.broken and number == 0:
            values[-1] = math.nan
        return Example(str(number), values[: c.length], values[c.length :])


def problems(splits: Mapping[Split, Sequence[Example]]) -> Iterable[DataProblem]:
    """Values that are no numbers, for `taskkit check --data`."""
    for split, examples in splits.items():
        broken = [each.id for each in examples if not all(map(math.isfinite, [*each.input, *each.target]))]
        if broken:
            message = f"{len(broken)} {split} series hold values that are no finite numbers. Leave them out."
            yield DataProblem("error", "number", message, tuple(broken[:10]))


class Windows(Processor):
    """Values as float tensors; `length` of them make a window, or any number."""

    unit = Unit("values")

    def __init__(self, length: int | None = None) -> None:
        self.window = length

    def read(self, source: str, options: Any) -> Sequence[Example]:
        """Read numbers separated by commas; raises DataError for anything else."""
        try:
            values = [float(word) for word in source.split(",")]
        except ValueError:
            values = []
        if len(values) != (self.window or len(values)) or not values or not all(map(math.isfinite, values)):
            wanted = "numbers" if self.window is None else f"{self.window} numbers"
            raise DataError(
                f"{source[:40]!r} is no window of values. Expected {wanted} with commas between them, such as 0.1,0.6."
            )
        return [Example(source, values)]

    def encode(self, example: Example) -> Sequence[Sample]:
        """One sample per series."""
        sample = {"past": torch.tensor(example.input)}
        if example.target is not None:
            sample["target"] = torch.tensor(example.target)
        return [sample]

    def length(self, sample: Sample) -> int:
        """How many values it holds."""
        return len(sample["past"])

    def padded_size(self, batch: Batch) -> int:
        """How many values the batch holds."""
        return batch["past"].numel()

    def settings(self) -> Mapping[str, Any]:
        """Nothing decides what `encode` gives but the example."""
        return {}


class Network(nn.Module):
    """One hidden layer with dropout."""

    def __init__(self, length: int, steps: int, width: int, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(length, width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, steps)

    def forward(self, past: Tensor) -> Tensor:
        """(batch, length) to (batch, steps)."""
        out: Tensor = self.head(self.dropout(self.hidden(past).relu()))
        return out


class Mlp(Model[sections.Mlp, Windows]):
    """The network and its way in."""

    def processor(self, spec: DataSpec) -> Windows:
        """Windows of as many values as the data have."""
        assert isinstance(spec.input, Series)
        return Windows(spec.input.length)

    def network(self, spec: DataSpec, processor: Windows) -> nn.Module:
        """Sized by the facts."""
        assert isinstance(spec.input, Series)
        assert isinstance(spec.target, Future)
        return Network(spec.input.length, spec.target.steps, self.config.width, self.config.dropout)

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """The two layers."""
        assert isinstance(network, Network)
        return [network.hidden, network.head]


class Forecast(Task[sections.Forecast, Windows]):
    """The pinball loss of one quantile."""

    headline = Headline("mae", "min")
    predict_options = sections.Answer

    def step(self, batch: Batch) -> Step:
        """Pinball loss."""
        outputs, target = self(batch), batch["target"]
        error = target - outputs
        q = self.config.quantile
        loss = torch.maximum(q * error, (q - 1) * error).mean()
        return Step(loss, len(target), outputs=outputs, scored={"preds": outputs, "target": target})

    def metrics(self) -> Mapping[str, Metric]:
        """Mean absolute error."""
        return {"mae": MeanAbsoluteError()}

    def scores(self, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        """Absolute error of each series."""
        return {"absolute_error": (step.outputs - batch["target"]).abs().mean(-1).float()}

    def statistics(self) -> Mapping[str, Statistic]:
        """The metric is the mean of the scores, and 0 without faults."""
        return {"mae": Mean("absolute_error", ideal=0.0)}

    def predict(
        self, batch: Batch, outputs: Any, examples: Sequence[Example], options: sections.Answer
    ) -> Sequence[Prediction]:
        """The forecast values."""
        digits = options.digits
        rows = outputs.float().tolist()
        return [{"prediction": row if digits is None else [round(value, digits) for value in row]} for row in rows]

    def protocol(self) -> Mapping[str, Any]:
        """The quantile that is forecast."""
        return {"quantile": self.config.quantile}

    def remarks(self, results: Results, earlier: Sequence[Mapping[str, float]]) -> Iterable[str]:
        """A word when forecasts are as far off as the waves are high."""
        if results["mae"] > 1:
            yield "The forecasts are far off: train longer, or look at the data."
