"""Rows on their way into one file: kept in parts beside it, so that who is killed repeats none that is whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from taskkit.errors import TaskkitError
from taskkit.runs.lock import is_free

ROWS = 512
"""Rows of a part."""

Asked = Mapping[str, Any]
"""What decides the answers, as plain data by the name that a person is told where it is otherwise."""


class Parts:
    """The parts of a file that is not whole yet, `FILE.parts` beside it; nobody else may write them meanwhile.

    Raises TaskkitError where those that are there answer something else, or another process writes them.
    """

    def __init__(self, path: Path, asked: Asked, rows: int) -> None:
        self.folder = path.with_name(f"{path.name}.parts")
        self.count = -(-rows // ROWS)
        try:
            self.folder.mkdir(exist_ok=True)
            self._lock = (self.folder / "lock").open("a")
        except OSError as error:
            raise TaskkitError(
                f"{self.folder}: it cannot be written ({error.strerror}). Name another file with -o."
            ) from error
        try:
            if not is_free(self._lock):
                raise TaskkitError(f"{self.folder}: another process writes there. Wait for it, or name another file.")
            refuse_others(self.folder / "asked.json", asked)
        except TaskkitError:
            self._lock.close()
            raise

    def __enter__(self) -> Parts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.close()

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """The rows of all parts, in order, which must be there."""
        for number in range(self.count):
            with part_file(self.folder, number).open(encoding="utf-8") as file:
                yield from map(json.loads, file)

    def missing(self) -> list[int]:
        """The numbers of the parts that nobody wrote yet."""
        return [number for number in range(self.count) if not part_file(self.folder, number).exists()]

    def remove(self) -> None:
        """Remove all parts, once the file is whole."""
        shutil.rmtree(self.folder)


def write_part(folder: Path, number: int, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a part, whole or not at all; raises TaskkitError where there is no room."""
    write_whole(part_file(folder, number), "".join(f"{json.dumps(row, default=str)}\n" for row in rows))


def rows_of(number: int) -> slice:
    """Which rows of the file are in a part."""
    return slice(number * ROWS, (number + 1) * ROWS)


def part_file(folder: Path, number: int) -> Path:
    """Where the rows of a part are."""
    return folder / f"{number:06}.jsonl"


def refuse_others(path: Path, asked: Asked) -> None:
    """Write down what is asked, or raise TaskkitError where something else was."""
    text = json.dumps(asked, indent=1, default=str)
    if not path.exists():
        write_whole(path, text)
        return
    before, now = json.loads(path.read_text()), json.loads(text)
    other = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if other:
        raise TaskkitError(
            f"{path}: answers were begun there that would differ from these by: {', '.join(other)}. Give the command "
            f"that they were begun with, to go on; or name another file, or remove {path.name} and what lies with it."
        )


def write_whole(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all; raises TaskkitError where it cannot be written."""
    part = path.with_suffix(".new")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise TaskkitError(f"{path}: it cannot be written: {error.strerror}. Make room; then go on.") from error
