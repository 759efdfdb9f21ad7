"""What the ways into all text networks have in common: what a person may hand to them, and their unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from taskkit import DataSpec, Example, Processor, Unit
from taskkit_text.facts import Text
from taskkit_text.reading import ReadText, read_texts


class TextProcessor(Processor):
    """Reads texts, or pairs of them; a subclass says what they become."""

    unit = Unit("tokens")
    predict_options = ReadText

    def __init__(self, spec: DataSpec) -> None:
        assert isinstance(spec.input, Text)
        self.pairs = spec.input.pairs

    def read(self, source: str, options: ReadText) -> Sequence[Example]:
        """The examples of a line of text, a file of lines or a table; raises DataError."""
        return read_texts(source, options, self.pairs)

    def parts(self, text: Any) -> tuple[str, ...]:
        """The one text of an input, or the two of a pair."""
        return tuple(text) if self.pairs else (text,)

    def settings(self) -> Mapping[str, Any]:
        """Whether texts come in pairs; a subclass adds what else decides its samples."""
        return {"pairs": self.pairs}


def target(example: Example) -> dict[str, Tensor]:
    """`target`: the number of the class, int64, where it is known."""
    return {} if example.target is None else {"target": torch.tensor(example.target)}
