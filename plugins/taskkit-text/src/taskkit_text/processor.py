"""What the ways into all text networks have in common: what a person may hand to them, and their unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from taskkit import Arrays, DataSpec, Example, Processor, Sample, Unit
from taskkit_text import arrays
from taskkit_text.arrays import Cut, Truncate
from taskkit_text.facts import Text
from taskkit_text.reading import ReadText, read_texts


class TextProcessor(Processor):
    """Reads texts, or pairs of them; a subclass says what they become."""

    unit = Unit("tokens")
    predict_options = ReadText

    def __init__(self, spec: DataSpec, max_characters: int, truncate: Truncate = "head") -> None:
        assert isinstance(spec.input, Text)
        self.cut = Cut(spec.input.pairs, max_characters, truncate)

    @property
    def pairs(self) -> bool:
        """Whether texts come in pairs."""
        return self.cut.pairs

    def parts(self, text: Any) -> tuple[str, ...]:
        """The one text of an input, or the two of a pair, of each no more than `max_characters`."""
        return self.cut.parts(text)

    def is_too_long(self, text: Any) -> bool:
        """Whether some of an input has to go before anything is looked at."""
        return self.cut.is_too_long(text)

    def read(self, source: str, options: ReadText) -> Sequence[Example]:
        """The examples of a line of text, a file of lines or a table; raises DataError."""
        return read_texts(source, options, self.cut.pairs)

    def settings(self) -> Mapping[str, Any]:
        """Whether texts come in pairs, and how much of them counts; a subclass adds what else decides its samples."""
        return {"pairs": self.cut.pairs, "max_characters": self.cut.max_characters}


def tensors(held: Arrays) -> dict[str, Tensor]:
    """Arrays as tensors."""
    return {name: torch.from_numpy(array) for name, array in held.items()}


def as_arrays(sample: Sample) -> Arrays:
    """Tensors as arrays."""
    return {name: tensor.numpy() for name, tensor in sample.items()}


def flags(truncated: bool, known: bool) -> dict[str, Tensor]:
    """What a person should know of a sample: that its text was longer, and that nothing in it is `known`; scalars."""
    return tensors(arrays.flags(truncated, known))


def target(example: Example) -> dict[str, Tensor]:
    """`target`: the number of the class, int64, where it is known."""
    return {} if example.target is None else {"target": torch.tensor(example.target)}
