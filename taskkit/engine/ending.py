"""How a run ended, whatever happened: for its record, and in words that a person can act upon."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from taskkit.contracts.recipe import Recipe
from taskkit.engine.guard import blaming
from taskkit.engine.machine import explained
from taskkit.engine.signals import Preempted, Signals
from taskkit.errors import Failure, TaskkitError
from taskkit.runs.manifest import Status
from taskkit.runs.record import Record


@contextmanager
def ending(
    recipe: Recipe, directory: Path, record: Record | None, signals: Signals, output: Callable[[str], None]
) -> Iterator[None]:
    """Record how the run ended, and raise what a person should read.

    Raises MachineError for what happened to the machine, RunFailedError for what a plugin's code raised, Preempted for
    a signal.
    """

    def preempted(stop: Preempted) -> None:
        _end(record, "preempted", str(stop))
        saved = " and saved" if stop.saved else ""
        output(f"Stopped by {stop}{saved}. Go on with: taskkit run --resume {directory}")

    try:
        with blaming(recipe.chosen().values()):
            yield
    except Preempted as stop:
        preempted(stop)
        raise
    except (KeyboardInterrupt, SystemExit) as stop:
        # Lightning's answer to a signal that came before this run listened again.
        if signals.number is not None:
            heard = Preempted(signals.number, "before training", saved=False)
            preempted(heard)
            raise heard from stop
        _end(record, "preempted", type(stop).__name__)
        raise
    except Exception as error:
        told = error if isinstance(error, TaskkitError) else explained(error, recipe, directory)
        reason = str(told) if told is not None else f"{type(error).__name__}: {error}"
        _end(record, "failed", reason, "code" if told is None else told.failure)
        if told is not error or error.__cause__ is not None:
            _log_traceback(record)
        if told is None or told is error:
            raise
        raise told from error
    _end(record, "finished", None)


def _end(record: Record | None, status: Status, reason: str | None, failure: Failure | None = None) -> None:
    if record is None:
        return
    try:
        record.end(status, reason, failure)
    except OSError:
        # Of a disk that is still full: why the run failed matters more.
        if status != "failed":
            raise


def _log_traceback(record: Record | None) -> None:
    if record is not None:
        record.log(traceback.format_exc())
