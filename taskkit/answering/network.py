"""A task that answers with its own network, in this process and on one device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from typing_extensions import override

from taskkit.answering.answerer import Answerer, Encoded, in_numbers
from taskkit.batches.encode import encode_each, samples_of
from taskkit.batches.given import GivenEncoded
from taskkit.contracts.data import Batch
from taskkit.contracts.facts import DataSpec, Example, Prediction
from taskkit.engine.build import Built
from taskkit.engine.evaluate import answers, joined, numbered, sequential, together
from taskkit.engine.guard import calling
from taskkit.errors import DataError


class NetworkAnswerer(Answerer):
    """A task with its network, asked as it is; see `Answerer`."""

    def __init__(self, built: Built, device: torch.device, autocast: Callable[[], AbstractContextManager[Any]]) -> None:
        self.built = built
        self.device = device
        self.autocast = autocast
        built.task.eval().to(device)

    @property
    @override
    def spec(self) -> DataSpec:
        return self.built.spec

    @property
    @override
    def predict_options(self) -> tuple[type, type]:
        return self.built.processor.predict_options, self.built.task.predict_options

    @override
    def check_options(self, answering: Any) -> None:
        with calling(self.built.recipe.task, "check_options"):
            self.built.task.check_options(answering)

    @override
    def requested(self, reading: Any) -> Sequence[Example]:
        with calling(self.built.recipe.model, "Processor.requested"):
            return self.built.processor.requested(reading)

    @override
    def read(self, source: str, reading: Any) -> Sequence[Example]:
        with calling(self.built.recipe.model, "Processor.read"):
            return self.built.processor.read(source, reading)

    @override
    def encode(self, example: Example) -> Sequence[Encoded]:
        return samples_of(example, self.built.processor)

    @override
    def encode_each(self, examples: Sequence[Example], workers: int) -> Iterator[Sequence[Encoded] | DataError]:
        return encode_each(examples, self.built.processor, workers)

    @override
    def length(self, sample: Encoded) -> int:
        return self.built.processor.length(sample)

    def complete(self, batch: Batch) -> Batch:
        """A batch with all that is asked with; by default as `collate` gives it."""
        return batch

    @override
    def answer(
        self, examples: Sequence[Example], samples: Sequence[Sequence[Encoded]], answering: Any
    ) -> list[Prediction]:
        task, owner = self.built.task, self.built.recipe.task
        encoded = GivenEncoded(samples, task.processor)
        section = self.built.recipe.loader
        size = section.eval_batch_size or section.batch_size
        loader = sequential(encoded, task.processor, size, section.budget, resident="no", workers=0)
        loader.place(self.device, rank=0, world=1)
        parts: list[tuple[tuple[int, int], Prediction]] = []
        with torch.inference_mode(), self.autocast():
            for host in loader:
                batch = self.complete({name: tensor.to(self.device) for name, tensor in host.tensors.items()})
                chosen = [examples[number] for number in host.tensors["example"].tolist()]
                with calling(owner, "forward"):
                    outputs = task(batch)
                parts += zip(numbered(host), answers(task, owner, batch, outputs, chosen, answering), strict=True)
        predictions = [joined(found, task, answering) for _, found in together(parts)]
        marks: dict[str, list[str]] = {}
        for flag, numbers in encoded.flagged().items():
            for number in numbers:
                marks.setdefault(number, []).append(flag)
        marked = [
            {**found, **({"flags": marks[str(at)]} if str(at) in marks else {})} for at, found in enumerate(predictions)
        ]
        return in_numbers(examples, marked)
