"""The fact and the settings, without torch."""

from dataclasses import dataclass

from taskkit import Fact, setting


@dataclass(frozen=True)
class Lines(Fact):
    """Each input is a line of letters, all of one length."""

    length: int


@dataclass
class Bag:
    """Settings of the model."""

    width: int = setting(16, "numbers that stand for a letter", ge=1)
    letters: int = setting(9, "letters of a line, at a random place, that training sees at a time", ge=1)


@dataclass
class Languages:
    """Settings of the data."""

    lines: int | None = setting(None, "training lines in an epoch; null: they never end", ge=1)
    length: int = setting(12, "letters in a line", ge=1)
    seed: int = setting(0, "decides the lines")
    held_out: int = setting(200, "lines for validation, and for the test", ge=1)
