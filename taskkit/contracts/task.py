"""The Task contract: what is asked of a network, and how the answer is judged."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NamedTuple

from torch import Tensor, nn

from taskkit.contracts.data import Batch, SectionT
from taskkit.contracts.explained import Explained
from taskkit.contracts.facts import DataSpec, Example, Prediction, Split
from taskkit.contracts.model import ProcessorT
from taskkit.contracts.refusal import LIGHTNING, refuse_ignored
from taskkit.contracts.settings import NoOptions
from taskkit.contracts.statistics import NoInterval, Statistic
from taskkit.errors import TaskkitError

if TYPE_CHECKING:
    from torchmetrics import Metric

Table = Mapping[str, Sequence[Any]]
"""Columns by name, all of one length."""

Results = Mapping[str, Tensor]
"""What the metrics of a split came to, by name; `loss` is among them where the steps had one."""


class Headline(NamedTuple):
    """The metric that a run is judged by."""

    metric: str
    direction: Literal["max", "min"]


@dataclass
class Step:
    """What a task makes of one batch."""

    loss: Tensor | None
    """A scalar: the mean over `count` things. None, in evaluation only: there is none."""
    count: int | Tensor
    """How many things the loss is the mean of; weighs it among the batches of an optimiser step and of a split."""
    over: str = "examples"
    """What it is the mean of: `examples`, `tokens`, …"""
    outputs: Any = None
    """What the network answered, as `predict` and `scores` take it."""
    scored: Mapping[str, Any] = field(default_factory=dict)
    """What the metrics take, by the names of the arguments of their `update`; what stands under the name of a metric,
    as a mapping of such arguments, is for that metric alone."""
    scalars: Mapping[str, Tensor] = field(default_factory=dict)
    """Further scalars of a training step to be logged; they cost no device synchronisation."""


class Task(nn.Module, Generic[SectionT, ProcessorT], metaclass=ABCMeta):
    """What is asked of a network and how it is judged; `step` and `metrics` are what a new task writes.

    It is a plain `torch.nn.Module`: parameters of its own, such as a temperature, are trained, decayed and saved like
    those of the network. `config` is the section that the component declares; `network`, `processor` and `spec`, the
    facts of the data, are at hand from the start.
    """

    headline: ClassVar[Headline]
    predict_options: ClassVar[type] = NoOptions
    """A dataclass of `taskkit.setting`s, each with a default: what `taskkit predict` takes to answer, as `--top`."""
    predicts_in_test: ClassVar[bool] = True
    """Whether a test keeps a prediction for each example; False where answering takes long, as generating does."""
    compares_samples: ClassVar[bool] = False
    """Whether the loss compares the samples of a batch with each other, as a contrastive one does: several batches are
    then no larger one, so that proofs of accumulation and of several processes say nothing, and others leave it out."""
    phases: ClassVar[tuple[str, ...]] = ()
    """Names of submodules of the network that have an optimiser each and are trained in turn on every batch."""

    def __init__(self, config: SectionT, network: nn.Module, processor: ProcessorT, spec: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.network = network
        self.processor = processor
        self.spec = spec

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse, when it is defined, what nobody would call."""
        super().__init_subclass__(**kwargs)
        refuse_ignored(cls)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in LIGHTNING:
            raise TypeError(f"{type(self).__name__}.{name} would never be read. {LIGHTNING[name]}.")
        super().__setattr__(name, value)

    @abstractmethod
    def step(self, batch: Batch) -> Step:
        """Compute the loss and what the metrics take; `self.training` says which of these is wanted."""

    @abstractmethod
    def metrics(self) -> Mapping[str, Metric]:
        """Fresh metrics by name, the headline among them; each is updated with what `Step.scored` has for it."""

    def phase_step(self, batch: Batch, phase: str) -> Step:
        """Compute the loss of one of the `phases` of a training step; a task without phases has none of these."""
        raise NotImplementedError(f"{type(self).__name__} has phases and no `phase_step(batch, phase)`.")

    def forward(self, batch: Batch) -> Any:
        """Ask the network: everything in the batch but targets and example numbers goes to it by name."""
        inputs = {k: v for k, v in batch.items() if k not in ("example", "target") and not k.startswith("target_")}
        return self.network(**inputs)

    def scores(self, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        """Per-example scores by name, each of shape (batch,), for confidence intervals and paired tests."""
        return {}

    def statistics(self) -> Mapping[str, Statistic | NoInterval]:
        """How metrics, by name, and perhaps the loss, follow from per-example scores, or why they do not.

        One that is left out has neither interval nor test. Of an example of several samples the scores that are part
        of a Ratio add up, and the others are means.
        """
        return {}

    def check_options(self, options: Any) -> None:
        """Raise TaskkitError for options of `taskkit predict` that contradict each other, before anything is read."""
        return

    def predict(self, batch: Batch, outputs: Any, examples: Sequence[Example], options: Any) -> Sequence[Prediction]:
        """Put the network's answers into words: one prediction per sample of the batch.

        Each is a mapping: `prediction` is the answer, a list of mappings where there are several lines to it, and
        `probability` is shown beside it; whatever else it holds is in `--json` and in predictions.parquet.
        `examples` are those that the samples were made of; `options` is a `predict_options`, in a test with its
        defaults. A task whose network answers nothing that a person would read, as in pretraining, has none: this
        raises TaskkitError.
        """
        raise TaskkitError(f"{type(self).__name__} answers nothing that could be predicted. Ask a run of another task.")

    @property
    def predicts(self) -> bool:
        """Whether it has a `predict` of its own."""
        return type(self).predict is not Task.predict

    def __getattr__(self, name: str) -> Any:
        if name in ("log", "log_dict"):
            raise AttributeError(
                f"a task has no `{name}`. Return what is to be logged: Step(…, scalars={{'name': value}})"
            )
        return super().__getattr__(name)

    def logits(self, outputs: Any) -> Tensor:
        """The logits (samples, choices) in what the network answered, of choices that are those of the target's fact.

        By them one network may be distilled into another. A task that chooses nothing by one softmax has none: this
        raises TaskkitError.
        """
        raise TaskkitError(f"{type(self).__name__} has no `logits`, by which a network could be distilled.")

    @property
    def has_logits(self) -> bool:
        """Whether it has a `logits` of its own."""
        return type(self).logits is not Task.logits

    @property
    def answers_in_training(self) -> bool:
        """Whether the network answers in training as in evaluation: one `logits` to each sample, of the same choices.

        A network that makes questions of its own, of many places of a history say, does not; it is asked once more, as
        in evaluation, when it learns from a teacher's answers.
        """
        return True

    @property
    def mixes(self) -> bool:
        """Whether `step` mixes the examples of a training batch, so that an answer is to no single one of them."""
        return False

    @property
    def joins(self) -> bool:
        """Whether it has a `join` of its own."""
        return type(self).join is not Task.join

    def join(self, parts: Sequence[Prediction], options: Any) -> Prediction:
        """Make one prediction of those of an example's windows, in order; only called when there are several."""
        raise NotImplementedError(f"{type(self).__name__} cannot join the predictions of several windows.")

    def explained(self, batch: Batch, outputs: Any, options: Any, wanted: str | None) -> Explained:
        """Choose what is explained of the answer to a batch of one: the answer that was given, or the one `wanted`.

        `options` are those that `predict` has: an answer that depends on them is explained as it is given.
        By default of outputs (batch, n) the largest number, and of outputs (batch,) the number itself. Raises
        TaskkitError where an answer is wanted that there is not, and for outputs of another form.
        """
        if not isinstance(outputs, Tensor) or outputs.ndim > 2 or outputs.ndim == 0:
            raise TaskkitError(
                f"{type(self).__name__}: its network answers more than one number for each choice, so that nobody "
                "knows what to explain. Write `Task.explained`."
            )
        if outputs.ndim == 1:
            if wanted is not None:
                raise TaskkitError(f"{wanted!r} is wanted, and the answer is one number. Leave it out.")
            return Explained(f"{outputs.item():.4g}", "answer", lambda answer: answer)
        count = outputs.shape[1]
        if wanted is not None and not (wanted.isascii() and wanted.isdecimal() and int(wanted) < count):
            raise TaskkitError(
                f"{wanted!r} is wanted; the network answers {count} numbers. Name one: 0 to {count - 1}."
            )
        number = int(outputs[0].argmax()) if wanted is None else int(wanted)
        return Explained(str(number), f"output {number}", lambda answer: answer[:, number])

    def baseline(self, train: Sequence[Example], test: Sequence[Example]) -> Mapping[str, float]:
        """Metrics on the test split of the trivial predictor that saw only the training targets; may be empty.

        Of a Stream it is given the first examples.
        """
        return {}

    def chance(self) -> float | None:
        """The training loss of answers that tell nothing apart, about which an untrained network begins; None: unknown.

        Of cross-entropy it is the logarithm of the number of classes. A first loss far from it tells of a mistake.
        """
        return None

    def tables(self, results: Results) -> Mapping[str, Table]:
        """Tables to keep with a run, made of those metrics that are not one number, such as a confusion matrix."""
        return {}

    def protocol(self) -> Mapping[str, Any]:
        """What else decides the metrics, in words and plain values: a normaliser, cut-offs; kept with every result."""
        return {}

    def remarks(self, results: Results, earlier: Sequence[Mapping[str, float]]) -> Iterable[str]:
        """What a person should know after a validation or a test, in words, such as that every answer is the same.

        `earlier` are the single numbers of the validations before this one, the first of them first.
        """
        return ()

    def conclude(
        self, batches: Callable[[Split], Iterable[Batch]], ids: Callable[[Split], Sequence[str]]
    ) -> Mapping[str, Any]:
        """Make, after training, what is kept with the run beside the weights: an index, thresholds, a temperature.

        Called once, with the weights that are tested, in evaluation mode and without gradients; `batches(split)` gives
        the batches of a split on the device, and `ids(split)` the id of each example by its number, as a batch has it
        in `example`. What it returns is plain data and tensors.
        """
        return {}

    def load_conclusion(self, conclusion: Mapping[str, Any]) -> None:
        """Take what `conclude` gave, at once and whenever the run is read back; tensors come on the CPU."""
        return
