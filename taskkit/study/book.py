"""The record of a study as it is written: in one piece at each change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from taskkit.errors import TaskkitError
from taskkit.runs import study as records
from taskkit.runs.manifest import Process
from taskkit.runs.record import now, write_atomically
from taskkit.runs.study import FILE, Asked, CellRecord, DerivedRecord, SearchRecord, StudyRecord, StudyStatus
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
        """Begin the record of a study, or go on with it and with all that its searches know.

        Raises TaskkitError where the directory holds anything but this study, and CheckpointError where its record
        cannot be read.
        """
        began, searches, trials = now(), tuple[SearchRecord, ...](), tuple[CellRecord, ...]()
        derived = tuple[DerivedRecord, ...]()
        if (path / FILE).exists():
            known = records.read(path)
            cells.check(path, planned, [each for each in known.cells if each.trial is None])
            began, searches, derived = known.started or began, known.searches, known.derived
            trials = tuple(each for each in known.cells if each.trial is not None)
        elif left := [each.name for each in path.iterdir() if each.name != records.LOCK and not _ours(each)]:
            raise TaskkitError(
                f"{path}: it is not empty, and holds no study ({left[0]}). A new or empty directory was expected. Name "
                "another with --out."
            )
        tested = tuple(cells.recorded(path, cell) for cell in planned)
        record = StudyRecord(
            file.title,
            str(file.path),
            file.sha256,
            process=Process.here(),
            started=began,
            cells=(*trials, *tested),
            searches=searches,
            derived=derived,
        )
        book = cls(path, record)
        book._write(tests=book._asked())
        return book

    def left(self, planned: Sequence[Cell], *, retry: bool) -> list[Cell]:
        """The cells that are still to be run; with `retry` those too that failed by what would come again."""
        ended = {each.name for each in self.named("finished")}
        if not retry:
            ended |= {cell.name for cell in planned if cells.comes_again(self.path, cell)}
        return [cell for cell in planned if cell.name not in ended]

    def of(self, name: str) -> CellRecord:
        """What is known of a cell."""
        return next(each for each in self.record.cells if each.name == name)

    def set(self, changed: CellRecord) -> None:
        """Write what is known of a cell now."""
        known = [each.name for each in self.record.cells]
        cells = [changed if each.name == changed.name else each for each in self.record.cells]
        self._write(cells=(*cells, *([] if changed.name in known else [changed])))
        if changed.status not in ("waiting", "running"):
            self._write(tests=self._asked())

    def search(self, changed: SearchRecord) -> None:
        """Write what is known of a search now."""
        others = [each for each in self.record.searches if each.recipe != changed.recipe]
        self._write(searches=(*others, changed))

    def derive(self, made: DerivedRecord) -> None:
        """Write what was made of several runs."""
        others = [each for each in self.record.derived if each.name != made.name]
        self._write(derived=(*others, made))
        self._write(tests=self._asked())

    def searched(self, recipe: str) -> SearchRecord | None:
        """What is known of the search for a recipe."""
        return next((each for each in self.record.searches if each.recipe == recipe), None)

    def trials(self, recipe: str) -> list[CellRecord]:
        """The runs of a search for a recipe, by their numbers."""
        found = [each for each in self.record.cells if each.trial is not None and each.recipe == recipe]
        return sorted(found, key=lambda each: each.trial.number if each.trial is not None else 0)

    def end(self, status: StudyStatus) -> None:
        """Write how the study ended."""
        self._write(status=status, ended=now())

    def named(self, *statuses: str) -> Iterable[CellRecord]:
        """The cells of some statuses, without those of searches."""
        return [each for each in self.record.cells if each.status in statuses and each.trial is None]

    def _asked(self) -> tuple[Asked, ...]:
        # Those of searches too: that none of them asked a test is seen and not taken for granted.
        # So is an average a figure of its own; all folds together are what each of them asked.
        averages = [each.name for each in self.record.derived if each.kind == "ensemble"]
        return asked(self.path, [*(each.name for each in self.record.cells), *averages])

    def _write(self, **changes: object) -> None:
        self.record = replace(self.record, **changes)  # type: ignore[arg-type]
        write_atomically(self.path / FILE, self.record.to_json() + "\n")


def chosen_before(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """What the searches of a study chose, by recipe; raises CheckpointError where its record cannot be read."""
    if not (path / FILE).exists():
        return {}
    return {each.recipe: each.values for each in records.read(path).searches if each.best is not None}


def _ours(path: Path) -> bool:
    """Whether it is what a process that was killed was writing."""
    return path.name.startswith(f".{FILE}.")
