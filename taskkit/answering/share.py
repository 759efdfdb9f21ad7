"""Inputs that are cut into parts, each of which is answered by itself, in this process or in another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskkit.answering.answerer import Answerer, Encoded
from taskkit.contracts.facts import Example, Prediction
from taskkit.data.outputs import Row
from taskkit.errors import DataError
from taskkit.runs.attachments import attached

HELD_BYTES = 128 * 2**20
"""Samples of so many bytes are answered before more are taken."""


@dataclass(frozen=True)
class Unread:
    """An input of which no example could be made, and why."""

    id: str
    error: str

    @property
    def columns(self) -> Row:
        """None: nobody knows of which row of a table it is."""
        return {}


Input = Example | Unread


@dataclass(frozen=True)
class Part:
    """Rows of a file that are answered and written together."""

    number: int
    inputs: Sequence[Input]
    stems: Sequence[str]
    """What attachments of each are called."""


@dataclass(frozen=True)
class Answering:
    """How parts are answered."""

    options: Any
    """The task's `predict_options`."""
    out: Path
    """Where predictions that are files are written."""
    workers: int
    """Processes that encode."""

    def rows(self, answerer: Answerer, parts: Sequence[Part]) -> Iterator[tuple[Part, list[Row]]]:
        """Each part with its rows, in turn."""
        found = answer_parts(answerer, [part.inputs for part in parts], self.options, self.workers)
        for part, answers in zip(parts, found, strict=True):
            each = zip(part.inputs, answers, part.stems, strict=True)
            yield part, [{"input": asked.id, **attached(answer, self.out, stem)} for asked, answer, stem in each]


def answer_parts(
    answerer: Answerer, parts: Sequence[Sequence[Input]], answering: Any, workers: int
) -> Iterator[list[Prediction]]:
    """For each part in turn a prediction for each of its inputs, or a mapping of its `error` alone.

    What is in a part decides alone what is in a batch, so that a part is answered alike whatever was before it.
    """
    examples = [each for part in parts for each in part if isinstance(each, Example)]
    encoded = answerer.encode_each(examples, workers)
    for part in parts:
        rows: list[Prediction] = []
        held: list[tuple[Input, Sequence[Encoded] | DataError]] = []
        size = 0
        for each in part:
            samples = next(encoded) if isinstance(each, Example) else DataError(each.error)
            held.append((each, samples))
            size += 0 if isinstance(samples, DataError) else sum(map(_size, samples))
            if size > HELD_BYTES:
                rows += _answered(answerer, held, answering)
                held, size = [], 0
        yield rows + _answered(answerer, held, answering)


def _answered(
    answerer: Answerer, held: Sequence[tuple[Input, Sequence[Encoded] | DataError]], answering: Any
) -> list[Prediction]:
    able = [
        (each, samples) for each, samples in held if isinstance(each, Example) and not isinstance(samples, DataError)
    ]
    answers = iter(_of_able(answerer, able, answering))
    return [{"error": str(given)} if isinstance(given, DataError) else next(answers) for _, given in held]


def _of_able(answerer: Answerer, able: Sequence[tuple[Example, Sequence[Encoded]]], answering: Any) -> list[Prediction]:
    if not able:
        return []
    try:
        return answerer.answer([each for each, _ in able], [samples for _, samples in able], answering)
    except DataError as error:
        if len(able) == 1:
            return [{"error": str(error)}]
    return [answer for one in able for answer in _of_able(answerer, [one], answering)]


def _size(sample: Encoded) -> int:
    return sum(getattr(value, "nbytes", 0) for value in sample.values())
