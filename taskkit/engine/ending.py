"""How a run ended, whatever happened: for its record, and in words that a person can act upon."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from taskkit.contracts.recipe import Recipe
from taskkit.engine.guard import blaming
from taskkit.engine.machine import explained, is_alone
from taskkit.engine.others import GRACE_SECONDS, Others
from taskkit.engine.signals import Preempted, Signals
from taskkit.errors import Failure, TaskkitError
from taskkit.runs.manifest import Status
from taskkit.runs.record import Record
from taskkit.wording import quoted


@contextmanager
def ending(
    recipe: Recipe,
    directory: Path,
    record: Record | None,
    signals: Signals,
    others: Others,
    output: Callable[[str], None],
) -> Iterator[None]:
    """Record how the run ended, and raise what a person should read.

    Raises MachineError for what happened to the machine, RunFailedError for what a plugin's code raised, Preempted for
    a signal.
    """

    def preempted(stop: Preempted) -> None:
        if not stop.saved:
            # The others may not have heard of it.
            others.send(stop.number)
        end(record, "preempted", str(stop))
        saved = " and saved" if stop.saved else ""
        output(f"Stopped by {stop}{saved}. Go on with: taskkit run --resume {quoted(directory)}")

    try:
        with blaming(recipe.chosen().values()):
            yield
    except Preempted as stop:
        preempted(stop)
        raise
    except (KeyboardInterrupt, SystemExit) as stop:
        # Of a plugin that listens itself.
        if signals.number is not None:
            heard = Preempted(signals.number, "before training", saved=False)
            preempted(heard)
            raise heard from stop
        end(record, "preempted", type(stop).__name__)
        raise
    except Exception as error:
        ended = others.ended(within=GRACE_SECONDS) if is_alone(error) else None
        asked = signals.number if ended is None or ended.stopped_by is None else ended.stopped_by
        if is_alone(error) and asked is not None:
            heard = Preempted(
                asked, "while several processes trained" if ended is None else f"in process {ended.rank}", saved=False
            )
            preempted(heard)
            raise heard from error
        told = error if isinstance(error, TaskkitError) else explained(error, recipe, directory, ended)
        reason = str(told) if told is not None else f"{type(error).__name__}: {error}"
        end(record, "failed", reason, "code" if told is None else told.failure)
        others.send(signal.SIGTERM)
        if told is not error or error.__cause__ is not None:
            _log_traceback(record)
        if told is None or told is error:
            raise
        raise told from error
    end(record, "finished", None)


def end(record: Record | None, status: Status, reason: str | None, failure: Failure | None = None) -> None:
    """Record how a run ended, also on a disk that is full."""
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
