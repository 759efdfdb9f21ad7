"""How a run ended, whatever happened: for its record, and in words that a person can act upon."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from taskkit.batches.loader import is_lost_worker, lost_worker
from taskkit.contracts.recipe import Recipe
from taskkit.engine.guard import blaming
from taskkit.engine.signals import Preempted, Signals
from taskkit.errors import RunFailedError, TaskkitError
from taskkit.runs.manifest import Status
from taskkit.runs.record import Record


@contextmanager
def ending(
    recipe: Recipe, directory: Path, record: Record | None, signals: Signals, output: Callable[[str], None]
) -> Iterator[None]:
    """Record how the run ended, and raise what a person should read.

    Raises RunFailedError for what happened to the machine and for what a plugin's code raised, Preempted for a signal.
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
    except TaskkitError as error:
        _end(record, "failed", str(error))
        if error.__cause__ is not None:
            _log_traceback(record)
        raise
    except Exception as error:
        message = explained(error, recipe, directory)
        _end(record, "failed", message or f"{type(error).__name__}: {error}")
        if message is not None:
            raise RunFailedError(message) from error
        _log_traceback(record)
        raise
    _end(record, "finished", None)


def explained(error: Exception, recipe: Recipe, directory: Path) -> str | None:
    """What happened to the machine, in words; None for what is an error of somebody's code."""
    if isinstance(error, torch.OutOfMemoryError):
        return out_of_memory(recipe, error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            f"{directory}: the disk is full or a file is larger than it may be ({error.strerror}). The "
            f"checkpoint before is whole. Make room, and go on with: taskkit run --resume {directory}"
        )
    return str(lost_worker(error)) if is_lost_worker(error) else None


def out_of_memory(r: Recipe, error: Exception) -> str:
    """What to change when the device's memory is full, with the numbers."""
    half = max(1, r.loader.batch_size // 2)
    return (
        f"The device's memory is full ({str(error).splitlines()[0]}). Halve the batch and keep the optimisation the "
        f"same: loader.batch_size={half} trainer.accumulate_grad_batches={2 * r.trainer.accumulate_grad_batches}; "
        "or set trainer.precision=bf16-mixed, or loader.resident=no."
    )


def _end(record: Record | None, status: Status, reason: str | None) -> None:
    if record is None:
        return
    try:
        record.end(status, reason)
    except OSError:
        # Of a disk that is still full: why the run failed matters more.
        if status != "failed":
            raise


def _log_traceback(record: Record | None) -> None:
    if record is not None:
        record.log(traceback.format_exc())
