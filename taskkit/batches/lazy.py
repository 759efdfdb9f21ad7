"""Samples that are encoded whenever they are read, in the process that reads them, and never kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from taskkit.batches.encode import samples_of
from taskkit.batches.store import Encoded
from taskkit.contracts.data import read_example
from taskkit.contracts.facts import Example
from taskkit.contracts.model import Processor, Sample
from taskkit.errors import DataError
from taskkit.shards.read import ShardExamples


class LazyEncoded(Encoded):
    """The samples of a split too large to be kept, one for each example, all of one shape."""

    def __init__(self, examples: Sequence[Example], processor: Processor, *, training: bool = False) -> None:
        if processor.layout != "stacked":
            raise DataError(
                f"loader.encode is lazy, but this model's samples differ in length, and batches of a budget need every "
                f"length before training ({processor.layout}). Set it to ahead."
            )
        self.examples = examples
        self.processor = processor
        self.training = training
        """Whether the samples are those that views are drawn of."""
        first = self[0]
        lengths = np.full(len(examples), processor.length(first), dtype=np.int64)
        super().__init__({}, np.arange(len(examples), dtype=np.int64), lengths, _ids(examples))
        self._fields = tuple(first)

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, number: int) -> Sample:
        example = read_example(self.examples, number)
        samples = samples_of(example, self.processor, training=self.training)
        if len(samples) != 1:
            raise DataError(
                f"example {example.id!r}: it gives {len(samples)} samples. One was expected, since "
                "loader.encode is lazy. Set it to ahead."
            )
        return samples[0]

    def __reduce__(self) -> tuple[object, ...]:
        return partial(LazyEncoded, training=self.training), (self.examples, self.processor)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the tensors of the first sample, which is like all others."""
        return self._fields

    @property
    def windowed(self) -> bool:
        """Never: an example gives one sample."""
        return False

    def flagged(self) -> Mapping[str, list[str]]:
        """Nothing: no sample was looked at yet."""
        return {}


def _ids(examples: Sequence[Example]) -> Sequence[str]:
    return examples.ids if isinstance(examples, ShardExamples) else _Ids(examples)


@dataclass(frozen=True)
class _Ids(Sequence[str]):
    """The ids of examples, each read when it is wanted."""

    examples: Sequence[Example]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, number: Any) -> Any:
        return self.examples[number].id
