"""What a person sees while a run goes on: a live bar on a terminal, one plain line per drain elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

REFRESH_SECONDS = 0.1


class Progress:
    """One plain line per drain and per validation, through `output`."""

    def __init__(self, output: Callable[[str], None], headline: str, unit: str) -> None:
        self.output = output
        self.headline = headline
        self.unit = unit
        self.total = 0

    def begin(self, step: int, total: int) -> None:
        """Training starts at a step, out of so many."""
        self.total = total

    def advance(self, step: int, epoch: int) -> None:
        """A batch is done; called for each."""

    def drained(self, line: Mapping[str, Any]) -> None:
        """The scalars of the last steps were read."""
        left = _duration((self.total - line["step"]) * line["seconds"] / max(line["step"], 1))
        self.output(
            f"step {line['step']:>{len(str(self.total))}}/{self.total}  epoch {line['epoch'] + 1}  "
            f"loss {line['train/loss']:.4f}  lr {line['lr']:.2e}  "
            f"{_rate(line['units_per_second'])} {self.unit}/s  {left} left"
        )

    def evaluated(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """A validation ended."""
        self.output(f"step {step:>{len(str(self.total))}}/{self.total}  epoch {epoch + 1}  {self._validation(values)}")

    def end(self) -> None:
        """Training is over, or broke off."""

    def _validation(self, values: Mapping[str, float]) -> str:
        name = f"val/{self.headline}"
        first = [name] if name in values else []
        return "  ".join(f"{k} {values[k]:.4f}" for k in [*first, "val/loss"] if k in values)


class LiveProgress(Progress):
    """A bar that moves, with a line above it for each validation."""

    def __init__(self, console: Console, output: Callable[[str], None], headline: str, unit: str) -> None:
        super().__init__(output, headline, unit)
        self.console = console
        self.bar: Bar | None = None
        self._next = 0.0
        self._fields: dict[str, Any] = {"loss": "", "score": "", "rate": "", "epoch": ""}

    def begin(self, step: int, total: int) -> None:
        """Put the bar up."""
        super().begin(step, total)
        self.bar = Bar(
            TextColumn("{task.fields[epoch]}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("[cyan]{task.fields[loss]}"),
            TextColumn("[green]{task.fields[score]}"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self.task = self.bar.add_task("training", total=total, completed=step, **self._fields)
        self.bar.start()

    def advance(self, step: int, epoch: int) -> None:
        """Move the bar, a few times a second at most."""
        clock = time.monotonic()
        if self.bar is not None and clock >= self._next:
            self._next = clock + REFRESH_SECONDS
            self._fields["epoch"] = f"epoch {epoch + 1}"
            self.bar.update(self.task, completed=step, **self._fields)

    def drained(self, line: Mapping[str, Any]) -> None:
        """Show the loss and the speed on the bar."""
        self._fields["loss"] = f"loss {line['train/loss']:.4f}"
        self._fields["rate"] = f"{_rate(line['units_per_second'])} {self.unit}/s"

    def evaluated(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Show the headline on the bar and leave a line above it."""
        super().evaluated(step, epoch, values)
        if (value := values.get(f"val/{self.headline}")) is not None:
            self._fields["score"] = f"val/{self.headline} {value:.4f}"

    def end(self) -> None:
        """Take the bar down."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
