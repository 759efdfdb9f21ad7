"""The characters that transcripts are written with, and their numbers; 0 is CTC's blank."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise

from taskkit import DataError

BLANK = 0
SPACE = " "


@dataclass(frozen=True)
class Alphabet:
    """Character number i is `characters[i - 1]`."""

    characters: str

    @classmethod
    def of(cls, texts: Iterable[str]) -> Alphabet:
        """All characters of these texts, in the order of Unicode; raises DataError when there are none."""
        characters = sorted({character for text in texts for character in text})
        if not characters:
            raise DataError(
                "The training transcripts hold no character. Transcripts of what is said were expected. Name their "
                "column, for instance by data.text_column."
            )
        return cls("".join(characters))

    def __len__(self) -> int:
        """How many classes a network has: the characters and the blank."""
        return len(self.characters) + 1

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each character."""
        return {character: number for number, character in enumerate(self.characters, 1)}

    def spell(self, text: str) -> list[int]:
        """The numbers of a text; characters that are not in the alphabet are left out."""
        return [self.numbers[character] for character in text if character in self.numbers]

    def unknown(self, text: str) -> int:
        """How many characters of a text are not in the alphabet."""
        return sum(character not in self.numbers for character in text)

    def write(self, numbers: Iterable[int]) -> str:
        """The text of numbers, of which none is the blank, with single blanks between words."""
        return " ".join("".join(self.characters[number - 1] for number in numbers).split())

    def read(self, path: Sequence[int]) -> str:
        """The text of one number for each frame: repeats are one character, and blanks divide repeats."""
        return self.write(number for number, _ in groupby(path) if number != BLANK)


def frames_needed(numbers: Sequence[int]) -> int:
    """The fewest frames in which CTC can write this: one for each character, and a blank between like neighbours."""
    return len(numbers) + sum(first == second for first, second in pairwise(numbers))
