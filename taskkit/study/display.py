"""What a person sees while a study goes on: a live table on a terminal, a line for each change elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from taskkit.runs.study import CellRecord
from taskkit.study.cells import progress
from taskkit.study.plan import Cell
from taskkit.wording import duration, printable, shown


def in_words(record: CellRecord) -> str:
    """What is known of a cell, in one line."""
    score = f", test/{record.metric} {record.score:.4f}" if record.score is not None else ""
    if record.trial is not None and record.trial.value is not None:
        values = ", ".join(f"{key}={shown(value)}" for key, value in record.values.items())
        score = f", validation {record.trial.value:.4f} by {values}"
    seconds = f", trained in {duration(record.seconds)}" if record.seconds is not None else ""
    reason = f": {record.reason}" if record.reason and record.status != "finished" else ""
    return f"{record.name}: {record.status}{score if record.status == 'finished' else ''}{seconds}{reason}"


class Lines:
    """One line for each cell that begins or ends."""

    def __init__(self, output: Callable[[str], None]) -> None:
        self.output = output

    def changed(self, record: CellRecord) -> None:
        """Say that a cell began or how it ended."""
        self.output(in_words(record))

    def look(self, going_on: Sequence[tuple[Cell, float]]) -> None:
        """Nothing is said of what only goes on."""

    def say(self, line: str) -> None:
        """Say it."""
        self.output(line)

    def close(self) -> None:
        """There is nothing to take down."""


class Moving:
    """A table of what goes on, below the lines of what ended."""

    def __init__(self, console: Console, study: Path, total: int, done: int) -> None:
        self.console = console
        self.study = study
        self.total = total
        self.done = done
        self.failed = self.tried = 0
        self.live = Live(console=console, transient=True, auto_refresh=False)
        self.live.start()

    def changed(self, record: CellRecord) -> None:
        """Leave a line where a cell ended."""
        if record.status == "running":
            return
        if record.trial is None:
            self.done += record.status == "finished"
            self.failed += record.status == "failed"
        else:
            self.tried += 1
        self.say(in_words(record))

    def look(self, going_on: Sequence[tuple[Cell, float]]) -> None:
        """Show how far each is."""
        table = Table.grid(padding=(0, 2))
        for cell, seconds in going_on:
            table.add_row(printable(cell.name), progress(self.study, cell) or "preparing", duration(seconds))
        others = {"failed": self.failed, "tried in searches": self.tried}
        rest = "".join(f", {count} {what}" for what, count in others.items() if count)
        self.live.update(Group(table, Text(f"{self.done} of {self.total} done{rest}")), refresh=True)

    def say(self, line: str) -> None:
        """A line above the table."""
        self.console.print(printable(line), highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Take the table down."""
        self.live.stop()
