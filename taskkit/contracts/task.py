"""The Task contract: what is asked of a network, and how the answer is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, final

import pytorch_lightning as pl
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MeanMetric, Metric, MetricCollection

from taskkit.contracts.data import Batch
from taskkit.contracts.facts import DataSpec, Example, Prediction
from taskkit.contracts.model import Processor
from taskkit.contracts.settings import NoOptions
from taskkit.errors import TaskkitError

Table = Mapping[str, Sequence[Any]]
"""Columns by name, all of one length."""


class Headline(NamedTuple):
    """The metric that a run is judged by."""

    metric: str
    direction: Literal["max", "min"]


@dataclass
class Step:
    """What a task makes of one batch."""

    loss: Tensor
    """A scalar: the mean over `size` elements."""
    size: int
    """How many elements the loss is the mean of; weighs it among other batches. Where they are the samples of a batch
    and batches differ in how many they hold, each sample weighs alike in training."""
    outputs: Any
    """What the network answered, as `predict` takes it."""
    target: Any = None
    """What the metrics compare with."""
    preds: Any = None
    """What the metrics take; None: the outputs."""


class Task(pl.LightningModule):
    """What is asked of a network and how it is judged; `step` and `metrics` are what a new task writes.

    `config` is the section that the component declares. Lightning's own hooks for steps and optimisers are final here,
    and a task calls `note`, never `log`: scalars stay on the device until the meter drains them.
    """

    headline: ClassVar[Headline]
    predict_options: ClassVar[type] = NoOptions
    """A dataclass of `taskkit.setting`s, each with a default: what `taskkit predict` takes to answer, as `--top`."""
    _final = (
        "training_step",
        "validation_step",
        "test_step",
        "predict_step",
        "configure_optimizers",
        "configure_gradient_clipping",
        "setup",
        "on_validation_epoch_end",
        "on_test_epoch_end",
    )

    def __init__(self, config: Any, network: nn.Module, processor: Processor, spec: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.network = network
        self.processor = processor
        self.spec = spec
        self.asked: Any = self.predict_options()
        """The options that were given to `taskkit predict`, or their defaults."""
        self.notes: dict[str, Tensor] = {}
        self.results: dict[str, Mapping[str, Tensor]] = {}
        self.optimisers: Callable[[Task], Any] | None = None
        self.samples_per_batch: float | None = None
        """Of a training batch on average, where batches hold a budget instead of so many samples; set by the host."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse, when it is defined, a task that overrides what is final."""
        super().__init_subclass__(**kwargs)
        for name in cls._final:
            if name in cls.__dict__:
                raise TypeError(f"{cls.__name__}.{name} is final in taskkit.Task. Write `step(batch)` instead.")

    # What a task writes.

    def step(self, batch: Batch) -> Step:
        """Compute the loss and what the metrics take; the one method that every task writes."""
        raise NotImplementedError(f"{type(self).__name__} has no `step(batch)`.")

    def metrics(self) -> Mapping[str, Metric]:
        """Fresh metrics by name; each is updated with `(step.preds, step.target)` and must contain the headline."""
        raise NotImplementedError(f"{type(self).__name__} has no `metrics()`.")

    def forward(self, batch: Batch) -> Any:
        """Ask the network: everything in the batch but targets and example numbers goes to it by name."""
        inputs = {k: v for k, v in batch.items() if k not in ("example", "target") and not k.startswith("target_")}
        return self.network(**inputs)

    def scores(self, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        """Per-example scores by name, each of shape (batch,), for confidence intervals and paired tests."""
        return {}

    def predict(self, batch: Batch, outputs: Any) -> Sequence[Prediction]:
        """Put the network's answers into words: one prediction per sample of the batch.

        A task whose network answers nothing that a person would read, as in pretraining, has none.
        """
        raise TaskkitError(f"{type(self).__name__} answers nothing that could be predicted. Ask a run of another task.")

    @property
    def predicts(self) -> bool:
        """Whether it has a `predict` of its own."""
        return type(self).predict is not Task.predict

    def join(self, parts: Sequence[Prediction]) -> Prediction:
        """Make one prediction of those of an example's windows, in order; only called when there are several."""
        raise NotImplementedError(f"{type(self).__name__} cannot join the predictions of several windows.")

    def baseline(self, train: Sequence[Example], test: Sequence[Example]) -> Mapping[str, float]:
        """Metrics on the test split of the trivial predictor that saw only the training targets; may be empty."""
        return {}

    def tables(self, results: Mapping[str, Tensor]) -> Mapping[str, Table]:
        """Tables to keep with a run, made of those metrics that are not one number, such as a confusion matrix."""
        return {}

    def protocol(self) -> Mapping[str, Any]:
        """What else decides the metrics, in words and plain values: a normaliser, cut-offs; kept with every result."""
        return {}

    def remarks(self, results: Mapping[str, Tensor]) -> Iterable[str]:
        """What a person should know after a validation or a test, in words, such as that every answer is the same."""
        return ()

    # What a task calls.

    @final
    def note(self, name: str, value: Tensor) -> None:
        """Hand a scalar tensor of this training step to the meter; it costs no device synchronisation."""
        self.notes[name] = value.detach()

    # What Lightning calls.

    @final
    def setup(self, stage: str) -> None:
        """Make fresh metrics for each split, before the module goes to its device."""
        for split in ("val", "test"):
            metrics = {**self.metrics(), "loss": MeanMetric()}
            if self.headline.metric not in metrics:
                raise TypeError(
                    f"{type(self).__name__}: its headline {self.headline.metric!r} is not one of its metrics "
                    f"({', '.join(metrics)}). Name one of them in `headline`, or add it in `metrics()`."
                )
            loss = metrics.pop("loss")
            # Compute groups are found by equal states after the first batch, which also happens by chance.
            setattr(self, f"_{split}_metrics", MetricCollection(dict(metrics), compute_groups=False))
            setattr(self, f"_{split}_loss", loss)

    @final
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Take the task's step and note its loss."""
        step = self.step(batch)
        self.note("loss", step.loss)
        if self.samples_per_batch is None or step.size != len(batch["example"]):
            return step.loss
        # The mean of few long samples and that of many short ones: unscaled, a long one would weigh more.
        return step.loss * (step.size / self.samples_per_batch)

    @final
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Take the task's step and update the validation metrics."""
        self._evaluate(batch, "val")

    @final
    def test_step(self, batch: Batch, batch_idx: int) -> Mapping[str, Step]:
        """Take the task's step, update the test metrics, and hand the step to the host, which keeps its rows."""
        return {"step": self._evaluate(batch, "test")}

    @final
    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[list[int], Sequence[Prediction]]:
        """Predict; with the example number of each prediction."""
        return batch["example"].tolist(), self.predict(batch, self(batch))

    @final
    def configure_optimizers(self) -> Any:
        """Make the optimisers that the host set."""
        if self.optimisers is None:
            raise RuntimeError("This task was built to be evaluated: it has no optimiser.")
        return self.optimisers(self)

    @final
    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients; unlike Lightning's own, in bf16 with a fused optimiser too, where nothing is scaled."""
        if gradient_clip_val is None:
            return
        clip = nn.utils.clip_grad_value_ if gradient_clip_algorithm == "value" else nn.utils.clip_grad_norm_
        clip(self.network.parameters(), gradient_clip_val)

    @final
    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics, once for the whole split."""
        self._finish("val")

    @final
    def on_test_epoch_end(self) -> None:
        """Log the test metrics, once for the whole split."""
        self._finish("test")

    def _evaluate(self, batch: Batch, split: str) -> Step:
        step = self.step(batch)
        preds = step.outputs if step.preds is None else step.preds
        getattr(self, f"_{split}_metrics").update(preds, step.target)
        getattr(self, f"_{split}_loss").update(step.loss, step.size)
        return step

    def _finish(self, split: str) -> None:
        metrics: MetricCollection = getattr(self, f"_{split}_metrics")
        loss: MeanMetric = getattr(self, f"_{split}_loss")
        self.results[split] = {"loss": loss.compute(), **metrics.compute()}
        metrics.reset()
        loss.reset()
        self.log_dict({f"{split}/{k}": v.float() for k, v in self.results[split].items() if v.numel() == 1})
