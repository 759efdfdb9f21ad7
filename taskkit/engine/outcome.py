"""What a person reads at the end of a run: why training ended, what was tested, how it did, what to do next."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytorch_lightning as pl
from rich.console import Console
from rich.table import Table as Grid

from taskkit.contracts.task import Headline, Table
from taskkit.runs.checkpoint import Saved
from taskkit.runs.manifest import WeightsTested
from taskkit.wording import quoted

COLUMNS, ROWS = 7, 20
"""A table of no more of them is printed; a larger one is in the run directory alone."""


def stopped_early(trainer: pl.Trainer, planned: int) -> str | None:
    """Why training ended before the last of its planned steps, in words; None where it did not."""
    if trainer.global_step >= planned:
        return None
    for stopper in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(stopper, pl.callbacks.EarlyStopping) and stopper.wait_count >= stopper.patience:
            return (
                f"early stopping in epoch {stopper.stopped_epoch + 1}, step {trainer.global_step}: "
                f"{stopper.monitor} was never better than {float(stopper.best_score):.4f} "
                f"in {stopper.wait_count} validations"
            )
        if isinstance(stopper, pl.callbacks.Timer) and (stopper.time_remaining() or 0) < 0:
            return (
                f"time was up in step {trainer.global_step} of {planned}, after "
                f"{stopper.time_elapsed():.0f} s (trainer.max_time)"
            )
    return None


def tested(best: Saved | None, trainer: pl.Trainer, epoch: int, headline: Headline) -> WeightsTested:
    """Which weights a test judges: the `best`, or the last, of an epoch counted from 0."""
    if best is None:
        return WeightsTested("last", trainer.global_step, epoch)
    score = best.history[-1].get(headline.metric) if best.history else None
    return WeightsTested("best", best.step, best.epoch, score)


def in_words(what: WeightsTested, headline: Headline) -> str:
    """`tested: the best weights, of epoch 3, step 30 (val/accuracy 0.9120)`."""
    if what.step == 0:
        return "tested: the model without a step of training"
    score = "" if what.validation is None else f" (val/{headline.metric} {what.validation:.4f})"
    return f"tested: the {what.checkpoint} weights, of epoch {what.epoch + 1}, step {what.step}{score}"


def small(tables: Mapping[str, Table], width: int) -> Iterator[str]:
    """Each table that is small enough to be read on a terminal of so many columns, as plain lines."""
    for name, table in tables.items():
        rows = list(zip(*table.values(), strict=True))
        if len(table) <= COLUMNS and len(rows) <= ROWS:
            grid = Grid(title=name, title_justify="left", title_style="", box=None, pad_edge=False)
            for column, values in table.items():
                words = any(isinstance(value, str) for value in values)
                grid.add_column(column, justify="left" if words else "right", overflow="fold")
            for row in rows:
                grid.add_row(*(f"{value:.4f}" if isinstance(value, float) else str(value) for value in row))
            text = io.StringIO()
            Console(file=text, width=width, markup=False, highlight=False).print(grid)
            yield "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def next_step(directory: Path, *, predicts: bool) -> str:
    """The commands that one would give next."""
    run = quoted(directory)
    asked = f"ask it:  taskkit predict {run} INPUT" if predicts else f"judge it again:  taskkit eval {run}"
    return f"read it:  taskkit report {run}\n{asked}"
