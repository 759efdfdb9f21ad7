"""The record of a study as it is written: in one piece at each change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from taskkit.errors import TaskkitError
from taskkit.runs import study as records
from taskkit.runs.manifest import Process
from taskkit.runs.record import now, write_atomically
from taskkit.runs.study import FILE, CellRecord, StudyRecord, StudyStatus
from taskkit.study import cells
from taskkit.study.asked import asked
from taskkit.study.file import StudyFile
from taskkit.study.plan import Cell


class Book:
    """Writes study.json."""

    def __init__(self, path: Path, record: StudyRecord) -> None:
        self.path = path
        self.record = record

    @classmethod
    def open(cls, path: Path, file: StudyFile, planned: Sequence[Cell]) -> Book:
        """Begin the record of a study, or go on with it.

        Raises TaskkitError where the directory holds anything but this study, and CheckpointError where its record
        cannot be read.
        """
        began = now()
        if (path / FILE).exists():
            known = records.read(path)
            cells.check(path, planned, known.cells)
            began = known.started or began
        elif left := [each.name for each in path.iterdir() if each.name != records.LOCK and not _ours(each)]:
            raise TaskkitError(
                f"{path}: it is not empty, and holds no study ({left[0]}). A new or empty directory was expected. Name "
                "another with --out."
            )
        record = StudyRecord(
            file.title,
            str(file.path),
            file.sha256,
            "running",
            Process.here(),
            began,
            None,
            tuple(cells.recorded(path, cell) for cell in planned),
        )
        book = cls(path, record)
        book._write(tests=asked(path, [cell.name for cell in planned]))
        return book

    def of(self, name: str) -> CellRecord:
        """What is known of a cell."""
        return next(each for each in self.record.cells if each.name == name)

    def set(self, changed: CellRecord) -> None:
        """Write what is known of a cell now."""
        others = tuple(changed if each.name == changed.name else each for each in self.record.cells)
        tested = changed.score is not None
        tests = asked(self.path, [each.name for each in others]) if tested else self.record.tests
        self._write(cells=others, tests=tests)

    def end(self, status: StudyStatus) -> None:
        """Write how the study ended."""
        self._write(status=status, ended=now())

    def named(self, *statuses: str) -> Iterable[CellRecord]:
        """The cells of some statuses."""
        return [each for each in self.record.cells if each.status in statuses]

    def _write(self, **changes: object) -> None:
        self.record = replace(self.record, **changes)  # type: ignore[arg-type]
        write_atomically(self.path / FILE, self.record.to_json() + "\n")


def _ours(path: Path) -> bool:
    """Whether it is what a process that was killed was writing."""
    return path.name.startswith(f".{FILE}.")
