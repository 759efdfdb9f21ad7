"""A way into a network, and out of it, in NumPy: what answers with an exported program where there is no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from taskkit.contracts.facts import DataSpec, Example, Prediction
from taskkit.contracts.settings import ClassificationOptions, NoOptions
from taskkit.errors import DataError

Arrays = Mapping[str, Any]
"""A sample, a batch or an answer: NumPy's arrays by name."""


class ArrayProcessor(ABC):
    """What a `Processor` does to predict, in a module without torch; a model's Component names it as `portable`.

    `state` is what the processor's `state_dict` gave, with arrays for tensors. A processor that makes its samples of
    these cannot drift away from it, and each export compares what both lead to.
    """

    predict_options: ClassVar[type] = NoOptions
    """Those of the processor."""
    fill_values: ClassVar[Mapping[str, int]] = {}
    """As `Processor.fill_values`."""

    @abstractmethod
    def __init__(self, section: Any, spec: DataSpec, state: Mapping[str, Any]) -> None: ...

    @abstractmethod
    def read(self, source: str, options: Any) -> Sequence[Example]:
        """As `Processor.read`."""

    def requested(self, options: Any) -> Sequence[Example]:
        """As `Processor.requested`."""
        return ()

    @abstractmethod
    def encode(self, example: Example) -> Sequence[Arrays]:
        """As `Processor.encode`, with arrays for tensors."""

    def length(self, sample: Arrays) -> int:
        """As `Processor.length`."""
        return 1

    def collate(self, samples: Sequence[Arrays]) -> Arrays:
        """A batch with all that the program takes, as `Processor.collate` and then `complete` make it."""
        import numpy as np

        batch = {}
        for name in samples[0]:
            values = [sample[name] for sample in samples]
            if name in self.fill_values:
                longest, fill = max(map(len, values)), self.fill_values[name]
                values = [np.pad(value, (0, longest - len(value)), constant_values=fill) for value in values]
            batch[name] = np.stack(values)
        return batch


class ArrayTask(ABC):
    """What a `Task` does to predict, in a module without torch; a task's Component names it as `portable`.

    `state` holds the task's own weights and buffers, and `conclusion` what `Task.conclude` gave, with arrays for
    tensors.
    """

    predict_options: ClassVar[type] = NoOptions
    """Those of the task."""

    def __init__(
        self,
        section: Any,
        spec: DataSpec,
        processor: Any,
        state: Mapping[str, Any],
        conclusion: Mapping[str, Any],
    ) -> None:
        self.config = section
        self.spec = spec
        self.processor = processor
        if conclusion:
            raise DataError(f"{type(self).__name__} does not read what was concluded after training.")

    @classmethod
    def answers(cls, section: Any) -> bool:
        """Whether it answers as a task of these settings does; where it does not, torch is asked."""
        return True

    def check_options(self, options: Any) -> None:
        """As `Task.check_options`."""
        return

    @abstractmethod
    def predict(
        self, batch: Arrays, outputs: Arrays, examples: Sequence[Example], options: Any
    ) -> Sequence[Prediction]:
        """As `Task.predict`; `outputs` are what the program answers, `output` where that is one tensor."""

    def join(self, parts: Sequence[Prediction], options: Any) -> Prediction:
        """As `Task.join`."""
        raise NotImplementedError(f"{type(self).__name__} cannot join the predictions of several windows.")


class ArrayClassification(ArrayTask):
    """What `Classification` predicts, of logits (batch, classes)."""

    predict_options = ClassificationOptions

    def predict(
        self, batch: Arrays, outputs: Arrays, examples: Sequence[Example], options: Any
    ) -> Sequence[Prediction]:
        """As `Classification.predict`."""
        import numpy as np

        logits = outputs["output"].astype(np.float32)
        shifted = np.exp(logits - logits.max(-1, keepdims=True))
        probabilities = shifted / shifted.sum(-1, keepdims=True)
        # Of equal ones the first, as `Classification` has it.
        top = np.argsort(-logits, axis=-1, kind="stable")[:, : options.top or self.config.top_k]
        values = np.take_along_axis(probabilities, top, -1)
        names = self.spec.target.names  # type: ignore[attr-defined]
        rows: list[dict[str, Any]] = [
            {
                "prediction": names[where[0]],
                "probability": each[0],
                "top": {names[i]: p for i, p in zip(where, each, strict=True)},
            }
            for where, each in zip(top.tolist(), values.tolist(), strict=True)
        ]
        for row, each in zip(rows, probabilities, strict=True):
            if options.probabilities:
                row["probabilities"] = dict(zip(names, each.tolist(), strict=True))
            if options.entropy:
                row["entropy"] = float(-(each * np.log(np.where(each > 0, each, 1))).sum())
        return rows
