"""Samples that somebody has in memory, put into batches as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from taskkit.batches.encode import length_of
from taskkit.batches.store import Encoded
from taskkit.contracts.facts import flag_words, is_flag
from taskkit.contracts.model import Processor, Sample


class GivenEncoded(Encoded):
    """The samples of examples, each of which was encoded by itself; the ids of the examples are their numbers."""

    def __init__(self, samples: Sequence[Sequence[Sample]], processor: Processor) -> None:
        self.samples = [sample for each in samples for sample in each]
        example_of = np.repeat(np.arange(len(samples), dtype=np.int64), [len(each) for each in samples])
        lengths = np.array([length_of(sample, processor) for sample in self.samples], dtype=np.int64)
        super().__init__({}, example_of, lengths, [str(number) for number in range(len(samples))])

    def __getitem__(self, number: int) -> Sample:
        return self.samples[number]

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the tensors of the first sample; another may have others."""
        return tuple(self.samples[0]) if self.samples else ()

    def flagged(self) -> Mapping[str, list[str]]:
        """The ids of the examples of which a sample is marked, by what a person is told of it."""
        found: dict[str, dict[str, None]] = {}
        for number, sample in zip(self.example_of, self.samples, strict=True):
            for name, value in sample.items():
                if is_flag(name) and bool(value):
                    found.setdefault(flag_words(name), {})[self.ids[number]] = None
        return {flag: list(ids) for flag, ids in found.items()}
