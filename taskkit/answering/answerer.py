"""What can be asked about new inputs, whatever it answers with: a run's network, or a program that was exported."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from taskkit.contracts.facts import DataSpec, Example, Prediction
from taskkit.errors import DataError

Encoded = Mapping[str, Any]
"""A sample, as tensors or arrays by name: its way in made it, and what answers takes it."""


def in_numbers(examples: Sequence[Example], answers: Sequence[Prediction]) -> list[Prediction]:
    """The answers; raises DataError, which names the example, where one holds nan or an infinity.

    Such numbers come of inputs that overflow in the network. They say nothing, and no JSON can hold them.
    """
    for example, answer in zip(examples, answers, strict=True):
        for name, value in answer.items():
            if (found := _no_number(value)) is not None:
                raise DataError(
                    f"example {example.id!r}: the {name} of its answer is {found}, no number. The network cannot "
                    "compute with this input; values may be too large. Correct it, or leave it out."
                )
    return list(answers)


def _no_number(value: Any) -> float | None:
    if isinstance(value, float):
        return None if math.isfinite(value) else value
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return next((found for part in parts if (found := _no_number(part)) is not None), None)


class Answerer(Protocol):
    """What can be asked about new inputs; several threads may ask at once.

    An input goes one way: `read` makes examples of it, `encode` samples of each example, `answer` a prediction of
    these. Each step raises DataError where it is the input that is at fault, the last where an answer is no number.
    """

    @property
    def spec(self) -> DataSpec:
        """The facts of the data that it was trained on: what it takes, and what it may answer."""
        ...

    @property
    def predict_options(self) -> tuple[type, type]:
        """The dataclasses of what may be asked beside inputs: how they are read, and how they are answered."""
        ...

    def check_options(self, answering: Any) -> None:
        """Raise TaskkitError for options of answering that contradict each other."""
        ...

    def requested(self, reading: Any) -> Sequence[Example]:
        """The examples that options alone ask about, as `--user 42` does; perhaps none."""
        ...

    def read(self, source: str, reading: Any) -> Sequence[Example]:
        """The examples of a path or a line of text: one, or many of a table or a folder."""
        ...

    def encode(self, example: Example) -> Sequence[Encoded]:
        """The samples of an example, one or, where it is long, several windows."""
        ...

    def encode_each(self, examples: Sequence[Example], workers: int) -> Iterator[Sequence[Encoded] | DataError]:
        """What `encode` gives of one example after another, or raises; in as many processes as it can have."""
        for example in examples:
            try:
                yield self.encode(example)
            except DataError as error:
                yield error

    def length(self, sample: Encoded) -> int:
        """The real size of a sample, by which samples that go well together are found."""
        ...

    def answer(
        self, examples: Sequence[Example], samples: Sequence[Sequence[Encoded]], answering: Any
    ) -> list[Prediction]:
        """One prediction for each example, in their order; attachments stay in them, and `flags` say what was marked.

        `samples` are those that `encode` gave of each.
        """
        ...
