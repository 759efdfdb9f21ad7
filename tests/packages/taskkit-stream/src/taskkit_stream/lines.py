"""Lines that are made while they are read, a network that is small, and its way in."""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from taskkit import (
    Classes,
    DataError,
    DataModule,
    DataSpec,
    Example,
    Fact,
    Model,
    Prepared,
    Processor,
    Sample,
    Stream,
    Unit,
)
from taskkit_stream import sections

ALPHABET = "abcdefgh"
LANGUAGES = {"aean": (9, 1, 1, 1, 9, 1, 1, 1), "cfish": (1, 1, 9, 1, 1, 9, 1, 1), "even": (1, 1, 1, 1, 1, 1, 1, 1)}
"""How often each letter is used, by language."""


@dataclass(frozen=True)
class LineStream(Stream):
    """Lines that follow from the seed, the epoch and their number alone."""

    config: sections.Languages

    def read(self, epoch: int, start: int) -> Iterator[Example]:
        """Make the lines from number `start` on, when they are asked for."""
        for number in itertools.count(start) if self.config.lines is None else range(start, self.config.lines):
            yield line(self.config, f"train/{epoch}/{number}")


def line(config: sections.Languages, name: str) -> Example:
    """One line of one language."""
    chance = random.Random(f"{config.seed}/{name}")
    language = chance.randrange(len(LANGUAGES))
    letters = chance.choices(ALPHABET, [*LANGUAGES.values()][language], k=config.length)
    return Example(name, "".join(letters), language)


class Languages(DataModule[sections.Languages]):
    """A stream to train on, and fixed lines to judge by."""

    def prepare(self, target: type[Fact]) -> Prepared:
        """Make the lines that are held out; the others are made while they are read."""
        c = self.config
        spec = DataSpec(sections.Lines(c.length), Classes(tuple(LANGUAGES)), fingerprint=f"languages {c}")
        val, test = ([line(c, f"{split}/{number}") for number in range(c.held_out)] for split in ("val", "test"))
        return Prepared(spec, {"train": LineStream(c), "val": val, "test": test})


class Letters(Processor):
    """Numbers of letters; training sees some in a row, at another place each time."""

    unit = Unit("letters")

    def __init__(self, letters: int) -> None:
        self.letters = letters
        self.alphabet = ""

    def fit(self, examples: Sequence[Example]) -> None:
        """Learn the alphabet."""
        self.alphabet = "".join(sorted({letter for example in examples for letter in example.input}))

    def read(self, source: str, options: Any) -> Sequence[Example]:
        """Take a line as it is."""
        return [Example(source, source)]

    def encode(self, example: Example) -> Sequence[Sample]:
        """One sample of all letters."""
        if not example.input or (unknown := set(example.input) - set(self.alphabet)):
            found = f"{min(unknown)!r} is" if example.input else "it has"
            raise DataError(f"{example.id}: {found} none of the letters {self.alphabet}. Leave it out.")
        sample = {"letters": torch.tensor([self.alphabet.index(letter) for letter in example.input])}
        return [sample if example.target is None else {**sample, "target": torch.tensor(example.target)}]

    def draw(self, sample: Sample, random: torch.Generator) -> Sample:
        """Some letters in a row."""
        places = len(sample["letters"]) - self.letters + 1
        first = int(torch.randint(max(1, places), (), generator=random))
        return {**sample, "letters": sample["letters"][first : first + self.letters]}

    def length(self, sample: Sample) -> int:
        """How many letters it has."""
        return len(sample["letters"])

    def padded_size(self, batch: Mapping[str, Tensor]) -> int:
        """How many letters a batch has."""
        return batch["letters"].numel()

    def settings(self) -> Mapping[str, Any]:
        """Nothing but the alphabet decides what `encode` gives."""
        return {}

    def state_dict(self) -> Mapping[str, Any]:
        """The alphabet."""
        return {"alphabet": self.alphabet}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back the alphabet."""
        self.alphabet = state["alphabet"]


class BagNetwork(nn.Module):
    """The mean of embedded letters, and a hidden layer."""

    def __init__(self, letters: int, width: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(letters, width)
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, classes))

    def forward(self, letters: Tensor) -> Tensor:
        """(batch, letters) to (batch, classes)."""
        out: Tensor = self.head(self.embedding(letters).mean(1))
        return out


class Bag(Model[sections.Bag, Letters]):
    """The network and its way in."""

    def processor(self, spec: DataSpec) -> Letters:
        """One that learns the alphabet."""
        return Letters(self.config.letters)

    def network(self, spec: DataSpec, processor: Letters) -> nn.Module:
        """Sized by the alphabet and the classes."""
        assert isinstance(spec.target, Classes)
        return BagNetwork(len(processor.alphabet), self.config.width, len(spec.target))
