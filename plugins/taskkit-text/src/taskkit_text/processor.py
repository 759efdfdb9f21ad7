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

    def __init__(self, spec: DataSpec, max_characters: int) -> None:
        assert isinstance(spec.input, Text)
        self.pairs = spec.input.pairs
        self.max_characters = max_characters

    def read(self, source: str, options: ReadText) -> Sequence[Example]:
        """The examples of a line of text, a file of lines or a table; raises DataError."""
        return read_texts(source, options, self.pairs)

    def parts(self, text: Any) -> tuple[str, ...]:
        """The one text of an input, or the two of a pair, of each no more than `max_characters`.

        Cutting characters comes before cutting tokens: a text of megabytes would take minutes and gigabytes.
        """
        return tuple(self.shortened(part) for part in (text if self.pairs else (text,)))

    def shortened(self, text: str) -> str:
        """The first `max_characters` of a text; a subclass may keep others."""
        return text[: self.max_characters]

    def is_too_long(self, text: Any) -> bool:
        """Whether some of an input has to go before anything is looked at."""
        return any(len(part) > self.max_characters for part in (text if self.pairs else (text,)))

    def settings(self) -> Mapping[str, Any]:
        """Whether texts come in pairs, and how much of them counts; a subclass adds what else decides its samples."""
        return {"pairs": self.pairs, "max_characters": self.max_characters}


def flags(truncated: bool, known: bool) -> dict[str, Tensor]:
    """What a person should know of a sample: that its text was longer, and that nothing in it is `known`."""
    return {"flag_truncated": torch.tensor(int(truncated)), "flag_without_a_known_token": torch.tensor(int(not known))}


def target(example: Example) -> dict[str, Tensor]:
    """`target`: the number of the class, int64, where it is known."""
    return {} if example.target is None else {"target": torch.tensor(example.target)}
