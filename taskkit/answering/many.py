"""Answers to any number of inputs: read, encoded by several processes, answered in batches, never all in memory."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskkit.answering.answerer import Answerer
from taskkit.answering.parts import ROWS, Asked, Parts, rows_of
from taskkit.answering.processes import Opening, answer_here, in_processes
from taskkit.answering.share import Answering, Input, Part, Unread
from taskkit.contracts.facts import Example
from taskkit.data.outputs import Form, Row, beside, check_output, write_rows
from taskkit.errors import DataError
from taskkit.runs.attachments import file_names
from taskkit.wording import some

log = logging.getLogger("taskkit")

NAMED = 3
"""So many errors are told in words; all are in the file."""

Progress = Callable[[int, int], None]
"""Called with how many rows are there, and of how many."""


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


def answer_into(
    answerer: Answerer,
    inputs: Sequence[Input],
    path: Path,
    asked: Asked,
    answering: Answering,
    *,
    elsewhere: Sequence[Opening] = (),
    form: Form | None = None,
    progress: Progress | None = None,
) -> Written:
    """Answer all inputs into a .csv, .jsonl or .parquet file, of one row each, in their order.

    Answers are kept in `FILE.parts` until the file is whole; with the same `asked` and inputs it is gone on with.
    Where there are `elsewhere`, each is opened in a process of its own, and these answer instead of this one. Raises
    TaskkitError for a file that is there, and for parts of something else.
    """
    check_output(path)
    names = file_names([each.id for each in inputs])
    with Parts(path, {**asked, "inputs": _fingerprint(inputs)}, len(inputs)) as parts:
        missing = parts.missing()
        done = min((parts.count - len(missing)) * ROWS, len(inputs))
        if done:
            log.info("%s: %d of %d rows are there already", parts.folder, done, len(inputs))
        cut = [Part(number, inputs[rows_of(number)], names[rows_of(number)]) for number in missing]
        if elsewhere:
            found = in_processes(elsewhere, cut, answering, parts.folder)
        else:
            found = answer_here(answerer, cut, answering, parts.folder)
        for count in found:
            done += count
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
