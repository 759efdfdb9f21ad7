"""Answers to any number of inputs: read, encoded by several processes, answered in batches, never all in memory."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskkit.answering.answerer import Answerer, Encoded
from taskkit.answering.parts import ROWS, Asked, Parts
from taskkit.contracts.facts import Example, Prediction
from taskkit.data.outputs import Form, Row, beside, check_output, write_rows
from taskkit.errors import DataError
from taskkit.runs.attachments import attached, file_names
from taskkit.wording import some

log = logging.getLogger("taskkit")

HELD_BYTES = 128 * 2**20
"""Samples of so many bytes are answered before more are taken."""
NAMED = 3
"""So many errors are told in words; all are in the file."""

Progress = Callable[[int, int], None]
"""Called with how many rows are there, and of how many."""


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
class Written:
    """A file of predictions that is whole."""

    path: Path
    rows: int
    errors: int
    """Rows that have an `error` and no prediction."""
    first: tuple[str, ...] = ()
    """The first few of these errors."""


def read_source(answerer: Answerer, source: str, reading: Any) -> Sequence[Input]:
    """The examples of a path or a text; one `Unread` where it cannot be read."""
    try:
        return answerer.read(source, reading)
    except DataError as error:
        return [Unread(source, str(error))]


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


def answer_into(
    answerer: Answerer,
    inputs: Sequence[Input],
    path: Path,
    asked: Asked,
    answering: Any,
    *,
    out: Path,
    workers: int = 0,
    form: Form | None = None,
    progress: Progress | None = None,
) -> Written:
    """Answer all inputs into a .csv, .jsonl or .parquet file, of one row each, in their order.

    Answers are kept in `FILE.parts` until the file is whole; with the same `asked` and inputs it is gone on with.
    Predictions that are files are written into `out`. Raises TaskkitError for a file that is there, and for parts of
    something else.
    """
    check_output(path)
    names = file_names([each.id for each in inputs])
    with Parts(path, {**asked, "inputs": _fingerprint(inputs)}, len(inputs)) as parts:
        missing = parts.missing()
        done = min((parts.count - len(missing)) * ROWS, len(inputs))
        if done:
            log.info("%s: %d of %d rows are there already", parts.folder, done, len(inputs))
        cut = [inputs[number * ROWS : (number + 1) * ROWS] for number in missing]
        for number, chosen, answers in zip(missing, cut, answer_parts(answerer, cut, answering, workers), strict=True):
            stems = names[number * ROWS : (number + 1) * ROWS]
            parts.write(
                number,
                [
                    {"input": each.id, **attached(answer, out, stem)}
                    for each, answer, stem in zip(chosen, answers, stems, strict=True)
                ],
            )
            done = min(done + len(chosen), len(inputs))
            if progress is not None:
                progress(done, len(inputs))
        write_rows(path, _Rows(inputs, parts), form)
        written = _told(path, parts)
        parts.remove()
    return written


@dataclass(frozen=True)
class _Rows:
    """What was read and what was answered, side by side, as often as they are asked for."""

    inputs: Sequence[Input]
    parts: Parts

    def __iter__(self) -> Iterator[Row]:
        for each, row in zip(self.inputs, self.parts, strict=True):
            yield beside(each.columns, row)


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


def _told(path: Path, parts: Parts) -> Written:
    """What is in the parts, with a warning for each kind of mark that a processor put on inputs."""
    rows = errors = 0
    first: list[str] = []
    marked: dict[str, tuple[int, list[str]]] = {}
    for row in parts:
        rows += 1
        if is_error(row):
            errors += 1
            first += [str(row["error"])] if len(first) < NAMED else []
        for flag in row.get("flags", ()):
            count, ids = marked.get(flag, (0, []))
            marked[flag] = count + 1, ids if len(ids) > NAMED else [*ids, row["input"]]
    for flag, (count, ids) in marked.items():
        log.warning("%d of %d inputs: %s (%s)", count, rows, flag, some(ids))
    return Written(path, rows, errors, tuple(first))


def is_error(row: Mapping[str, Any]) -> bool:
    """Whether a row tells why there is no prediction."""
    return "error" in row and "prediction" not in row


def _fingerprint(inputs: Sequence[Input]) -> str:
    """A hash of what was read, and of the sizes and times of the files that are read later."""
    digest = hashlib.sha256()
    for each in inputs:
        digest.update(repr((each.id, dict(each.columns))).encode("utf-8", "surrogateescape"))
        given = each.input if isinstance(each, Example) else each.error
        given = getattr(given, "path", given)
        if isinstance(given, Path):
            with suppress(OSError):
                stat = given.stat()
                digest.update(f"{stat.st_size} {stat.st_mtime_ns}".encode())
        elif isinstance(given, str | tuple):
            digest.update(repr(given).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
