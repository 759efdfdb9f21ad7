"""What a person sees while a run goes on: a live line on a terminal, one plain line per drain elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions
from rich.live import Live
from rich.segment import ControlType, Segment

REFRESH_SECONDS = 0.1
BAR = range(10, 41)
"""Columns that the bar may have."""
ERASE_BELOW = Segment("\x1b[J", None, [(ControlType.ERASE_IN_LINE, 0)])
TO_THE_BEGINNING = Segment("\r", None, [(ControlType.CARRIAGE_RETURN,)])


@dataclass(frozen=True)
class Length:
    """How long a training is: optimiser steps, and epochs where it is their number that ends it."""

    steps: int
    epochs: int | None = None


class Progress:
    """One plain line per drain and per validation, through `output`."""

    def __init__(self, output: Callable[[str], None], headline: str, unit: str) -> None:
        self.output = output
        self.headline = headline
        self.unit = unit
        self.length = Length(0)

    def begin(self, step: int, length: Length) -> None:
        """Training starts at a step."""
        self.length = length

    def advance(self, step: int, epoch: int) -> None:
        """A batch is done; called for each."""

    def drained(self, line: Mapping[str, Any]) -> None:
        """The scalars of the last steps were read."""
        self.output(
            f"{self._step(line['step'])}  {self._epoch(line['epoch'])}  "
            f"loss {line['train/loss']:.4f}  lr {line['lr']:.2e}  "
            f"{_rate(line['units_per_second'])} {self.unit}/s  {self._left(line)} left"
        )

    def validating(self) -> None:
        """A validation begins."""

    def evaluated(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """A validation ended."""
        self.output(f"{self._step(step)}  {self._epoch(epoch)}  {self._validation(values)}")

    def end(self) -> None:
        """Training is over, or broke off."""

    def _step(self, step: int) -> str:
        return f"step {step:>{len(str(self.length.steps))}}/{self.length.steps}"

    def _epoch(self, epoch: int) -> str:
        return f"epoch {epoch + 1}/{self.length.epochs}" if self.length.epochs else f"epoch {epoch + 1}"

    def _left(self, line: Mapping[str, Any]) -> str:
        return _duration((self.length.steps - line["step"]) * line["seconds"] / max(line["step"], 1))

    def _validation(self, values: Mapping[str, float]) -> str:
        name = f"val/{self.headline}"
        first = [name] if name in values else []
        return "  ".join(f"{k} {values[k]:.4f}" for k in [*first, "val/loss"] if k in values)


class LiveProgress(Progress):
    """A line that moves, with a line above it for each validation."""

    def __init__(self, console: Console, output: Callable[[str], None], headline: str, unit: str) -> None:
        super().__init__(output, headline, unit)
        self.line = StatusLine()
        self.live = Live(self.line, console=console, transient=True, refresh_per_second=4)
        self._next = 0.0

    def begin(self, step: int, length: Length) -> None:
        """Put the line up."""
        super().begin(step, length)
        self.line.began = time.monotonic()
        self._show(step, 0)
        self.live.start()

    def advance(self, step: int, epoch: int) -> None:
        """Move the line, a few times a second at most."""
        clock = time.monotonic()
        if clock >= self._next:
            self._next = clock + REFRESH_SECONDS
            self._show(step, epoch)

    def drained(self, line: Mapping[str, Any]) -> None:
        """Show the loss, the speed and the time that is left."""
        self.line.loss = f"loss {line['train/loss']:.4f}"
        self.line.rate = f"{_rate(line['units_per_second'])} {self.unit}/s"
        self.line.left = f"{self._left(line)} left"

    def validating(self) -> None:
        """Say that the steps wait."""
        self.line.epoch = "validating"

    def evaluated(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Show the headline and leave a line above."""
        super().evaluated(step, epoch, values)
        self._show(step, epoch)
        if (value := values.get(f"val/{self.headline}")) is not None:
            self.line.score = f"val/{self.headline} {value:.4f}"

    def end(self) -> None:
        """Take the line down."""
        self.live.stop()

    def _show(self, step: int, epoch: int) -> None:
        self.line.done = step / max(self.length.steps, 1)
        self.line.step = self._step(step)
        self.line.epoch = self._epoch(epoch)


class StatusLine:
    """What is known of a training, in one line that leaves out what does not fit, the least telling first.

    rich's own bar gives each column its share, so that on a narrow terminal step and time are cut; and when a terminal
    is made narrower it leaves copies of itself. Here the cursor waits at the beginning of the line: the terminal takes
    it along when it wraps what no longer fits, and all of it is erased from there.
    """

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.done = 0.0
        self.step = self.epoch = self.loss = self.score = self.rate = self.left = ""

    def text(self, width: int) -> str:
        """The line, of fewer characters than `width`."""
        elapsed = f"{_duration(time.monotonic() - self.began)} so far"
        parts = [self.epoch, self.step, self.loss, self.score, self.rate, elapsed, self.left]
        for least in ("", elapsed, self.rate, self.score, self.loss, self.epoch):
            parts = [part for part in parts if part != least]
            line = "  ".join(parts)
            if len(line) < width:
                break
        room = min(width - len(line) - 3, BAR[-1])
        bar = _bar(self.done, room) + "  " if room >= BAR[0] else ""
        return (bar + line)[: width - 1]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        yield ERASE_BELOW
        yield Segment(self.text(options.max_width))
        yield TO_THE_BEGINNING


class _ConsoleHandler(logging.Handler):
    """Prints what taskkit's own modules log, such as what is being fetched."""

    def __init__(self, output: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self.output = output

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        self.output(record.getMessage())


@contextmanager
def forward_logs(output: Callable[[str], None]) -> Iterator[None]:
    """Print what is logged while a run goes on."""
    logger, handler = logging.getLogger("taskkit"), _ConsoleHandler(output)
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _bar(share: float, columns: int) -> str:
    full = round(min(share, 1.0) * columns)
    return "━" * full + "╌" * (columns - full)


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
