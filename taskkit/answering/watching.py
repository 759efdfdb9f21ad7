"""Answers to files as they appear in a folder, each once, whatever ends the process in between."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskkit.answering.answerer import Answerer
from taskkit.answering.many import is_error, read_source
from taskkit.answering.parts import Asked, refuse_others
from taskkit.answering.share import Input, answer_parts
from taskkit.contracts.facts import Prediction
from taskkit.data.outputs import beside, check_output
from taskkit.errors import TaskkitError
from taskkit.runs.attachments import attached, file_name
from taskkit.runs.lock import is_free
from taskkit.wording import path_text

LOOK_SECONDS = 1.0
"""Between two looks at the folder; a file that did not change in between is read."""
PATIENCE_SECONDS = 10.0
"""A file that cannot be read may still be written until it did not change for so long."""
AT_ONCE = 64
"""Files that are answered before their answers are written."""

Said = Callable[[str, int], None]
"""Called with the name of a file that is answered, and how many of its rows are errors."""

Stamp = tuple[int, int]
"""The size of a file and when it was written."""


@dataclass
class _Waiting:
    """A file that is not answered yet."""

    stamp: Stamp
    since: float
    """When it was first seen so."""


class Answers:
    """A .jsonl file that grows, and beside it, in `FILE.watch`, which files have their answers in it, up to where.

    What was written of a file whose answers are not all there is cut off when it is opened again. Raises TaskkitError
    where it was begun with something else, or another process writes it.
    """

    def __init__(self, path: Path, asked: Asked) -> None:
        if path.suffix.lower() != ".jsonl":
            raise TaskkitError(f"{path}: it grows as files appear. A name that ends in .jsonl was expected.")
        self.path = path
        self.folder = path.with_name(f"{path.name}.watch")
        if not self.folder.exists():
            check_output(path)
        self.folder.mkdir(exist_ok=True)
        self._files = (self.folder / "files.jsonl").open("a+", encoding="utf-8")
        self._rows = path.open("ab")
        try:
            self._begin(asked)
        except TaskkitError:
            self.close()
            raise

    def _begin(self, asked: Asked) -> None:
        if not is_free(self._files):
            raise TaskkitError(f"{self.path}: another process writes there. Stop it, or name another file with -o.")
        refuse_others(self.folder / "asked.json", asked)
        self.done: set[str] = set()
        end = 0
        for name, where in self._lines():
            self.done.add(name)
            end = where
        if self._rows.tell() < end:
            raise TaskkitError(
                f"{self.path}: it is shorter than when it was left. Put it back, or remove it and {self.folder} to "
                "begin anew."
            )
        self._rows.truncate(end)

    def add(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append the rows of a file; once this returns, neither they nor that they are there can be lost."""
        self._rows.write("".join(f"{json.dumps(row, ensure_ascii=False, default=str)}\n" for row in rows).encode())
        self._rows.flush()
        os.fsync(self._rows.fileno())
        self._files.write(f"{json.dumps([name, self._rows.seek(0, os.SEEK_END)])}\n")
        self._files.flush()
        os.fsync(self._files.fileno())
        self.done.add(name)

    def close(self) -> None:
        """Let another process go on."""
        self._rows.close()
        self._files.close()

    def _lines(self) -> Iterator[tuple[str, int]]:
        """The files that have answers and where these end; a last line that was not finished is cut off."""
        self._files.seek(0)
        end = 0
        while (line := self._files.readline()).endswith("\n"):
            end = self._files.tell()
            name, where = json.loads(line)
            yield name, where
        self._files.truncate(end)


@dataclass(frozen=True)
class Watch:
    """A folder whose files are answered as they appear, those in folders in it too.

    Files and folders whose names begin with a point are left alone.
    """

    answerer: Answerer
    folder: Path
    answers: Answers
    reading: Any
    answering: Any
    out: Path
    """Where predictions that are files are written."""

    def until(self, stopped: Callable[[], bool], said: Said | None) -> None:
        """Answer each file once it is written, until it is `stopped`; `said` is told of each, and of how many errors.

        A file that cannot be read gets a row with its `error`.
        """
        waiting: dict[str, _Waiting] = {}
        while not stopped():
            began = time.monotonic()
            waiting = {name: _waiting(waiting.get(name), stamp, began) for name, stamp in self._files()}
            ready = [(name, each) for name, each in waiting.items() if each.since < began]
            for at in range(0, len(ready), AT_ONCE):
                if not stopped():
                    self._answer(ready[at : at + AT_ONCE], said)
            if not stopped():
                time.sleep(max(0.0, began + LOOK_SECONDS - time.monotonic()))

    def _answer(self, ready: Sequence[tuple[str, _Waiting]], said: Said | None) -> None:
        parts = [read_source(self.answerer, str(self.folder / name), self.reading) for name, _ in ready]
        answered = answer_parts(self.answerer, parts, self.answering, workers=0)
        for (name, waiting), inputs, rows in zip(ready, parts, answered, strict=True):
            errors = sum(map(is_error, rows))
            is_written = _stamp(self.folder / name) == waiting.stamp
            if is_written and (not errors or time.monotonic() - waiting.since > PATIENCE_SECONDS):
                self.answers.add(name, [*self._rows(name, inputs, rows)])
                if said is not None:
                    said(name, errors)

    def _rows(self, name: str, inputs: Sequence[Input], rows: Sequence[Prediction]) -> Iterator[Mapping[str, Any]]:
        for number, (given, row) in enumerate(zip(inputs, rows, strict=True)):
            stem = file_name(f"{name}-{number}" if number else name)
            yield beside(given.columns, {"input": given.id, **attached(row, self.out, stem)})

    def _files(self) -> Iterator[tuple[str, Stamp]]:
        """The files that have no answers yet, by their paths in the folder."""
        ours = {path.resolve() for path in (self.answers.path, self.answers.folder, self.out)}
        for place, folders, files in os.walk(self.folder):
            folders[:] = sorted(each for each in folders if each[0] != "." and Path(place, each).resolve() not in ours)
            for path in (Path(place, each) for each in sorted(files) if each[0] != "."):
                name = path_text(path.relative_to(self.folder))
                if name not in self.answers.done and path.resolve() not in ours and (stamp := _stamp(path)):
                    yield name, stamp


def _waiting(before: _Waiting | None, stamp: Stamp, now: float) -> _Waiting:
    return before if before is not None and before.stamp == stamp else _Waiting(stamp, now)


def _stamp(path: Path) -> Stamp | None:
    with suppress(OSError):
        stat = path.stat()
        return stat.st_size, stat.st_mtime_ns
    return None
