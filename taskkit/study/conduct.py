"""Conducting a study: some cells at a time, each in a process of its own, until all have ended or a signal comes."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Protocol

from taskkit.runs.study import CellRecord
from taskkit.study import cells
from taskkit.study.book import Book
from taskkit.study.launch import Job, Launcher, Orphan
from taskkit.study.plan import Cell
from taskkit.study.remote import Remote

LOOK_SECONDS = 0.2
"""Between two looks at the processes."""


class Display(Protocol):
    """What a person sees meanwhile."""

    def changed(self, record: CellRecord) -> None:
        """A cell began or ended."""

    def look(self, going_on: Sequence[tuple[Cell, float]]) -> None:
        """The cells that go on, each with its seconds so far; called some times a second."""

    def say(self, line: str) -> None:
        """A line that stays."""


class Work(Protocol):
    """What is to be run."""

    def next(self) -> Cell | None:
        """The next cell; None: there is none now."""

    @property
    def done(self) -> bool:
        """Whether none will come any more."""

    def ended(self, cell: Cell, record: CellRecord) -> CellRecord:
        """Take note of how a cell ended, and give what is recorded of it."""

    def unwanted(self, cell: Cell) -> bool:
        """Whether a cell that goes on is to be stopped for good."""


class Queue:
    """Cells in their order."""

    def __init__(self, waiting: Sequence[Cell]) -> None:
        self._waiting = [*reversed(waiting)]

    def next(self) -> Cell | None:
        """The next cell; None: all have begun."""
        return self._waiting.pop() if self._waiting else None

    @property
    def done(self) -> bool:
        """Whether all have begun."""
        return not self._waiting

    def ended(self, cell: Cell, record: CellRecord) -> CellRecord:
        """The record as it is."""
        return record

    def unwanted(self, cell: Cell) -> bool:
        """None is."""
        return False


@dataclass
class _GoingOn:
    cell: Cell
    job: Job
    place: int
    began: float
    told: bool = False
    """Whether it was asked to stop."""


class Conductor:
    """Runs the cells of a study, and hears signals meanwhile."""

    def __init__(self, book: Book, launcher: Launcher, display: Display, threads: str | None = None) -> None:
        self.book = book
        self.launcher = launcher
        self.threads = threads
        """OMP_NUM_THREADS of runs elsewhere; None: it is not set."""
        self.display = display
        self.stopped_by: int | None = None
        """The signal that ended the study."""
        self._running: list[_GoingOn] = []
        self._at_once = False

    def conduct(self, work: Work) -> None:
        """Run what there is to run; after a signal nothing begins, and what goes on is saved."""
        try:
            with self._heard():
                while self._running or not (work.done or self.stopped_by):
                    self._begin(work)
                    self._look(work)
                    time.sleep(LOOK_SECONDS)
        except BaseException:
            for each in self._running:
                each.job.stop()
            raise

    def _begin(self, work: Work) -> None:
        taken = {each.place for each in self._running}
        for place in range(self.launcher.places):
            if place in taken or self.stopped_by is not None:
                continue
            if (cell := work.next()) is None:
                return
            self._running.append(self._start(cell, place))
            self._record(replace(self.book.of(cell.name), status="running", reason=None))

    def _start(self, cell: Cell, place: int) -> _GoingOn:
        study = self.book.path
        run, lock = (study / cell.name).absolute(), cells.lock_of(study, cell).absolute()
        if cells.is_free(study, cell):
            output = cells.output_of(study, cell).absolute()
            job = self.launcher.start(Remote(run, cell.words, output, lock, Path.cwd(), self.threads), place)
        else:
            self.display.say(
                f"{cell.name}: its process goes on since an earlier start of this study, and is waited for"
            )
            job = Orphan(run, partial(cells.is_free, study, cell))
        return _GoingOn(cell, job, place, time.monotonic())

    def _look(self, work: Work) -> None:
        for each in [*self._running]:
            code = each.job.ended()
            if code is None:
                self._stop(each, work)
                continue
            self._running.remove(each)
            self._record(work.ended(each.cell, self._how_it_ended(each.cell, code)))
        clock = time.monotonic()
        self.display.look([(each.cell, clock - each.began) for each in self._running])

    def _stop(self, going: _GoingOn, work: Work) -> None:
        """Ask a process to end, where the study is to end or its cell is not wanted any more."""
        if self._at_once:
            going.job.kill()
        elif not going.told and (self.stopped_by is not None or work.unwanted(going.cell)):
            going.told = True
            going.job.stop()

    def _how_it_ended(self, cell: Cell, code: int) -> CellRecord:
        record = cells.recorded(self.book.path, cell)
        if record.status == "waiting":
            stopped = self.stopped_by is not None
            said = cells.last_words(self.book.path, cell) or f"its process ended with code {code}"
            return replace(record, status="stopped" if stopped else "failed", reason=said)
        if record.status == "stopped" and self.stopped_by is None and code < 0:
            return replace(record, status="failed", reason=f"its process was killed by {signal.Signals(-code).name}")
        return record

    def _record(self, record: CellRecord) -> None:
        self.book.set(record)
        self.display.changed(record)

    @contextmanager
    def _heard(self) -> Iterator[None]:
        """Listen for signals meanwhile, in the main thread of the process."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        heeded = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as by nohup
            heeded.append(signal.SIGHUP)
        before = {number: signal.signal(number, self._on_signal) for number in heeded}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # A second Ctrl-C does not wait until runs are saved; schedulers send the others as often as they like.
        self._at_once = self._at_once or (self.stopped_by is not None and number == signal.SIGINT)
        self.stopped_by = self.stopped_by or number
