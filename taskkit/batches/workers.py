"""Processes that read samples: what comes from them, and what is said when one is killed, hangs or is slow."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from taskkit.errors import MachineError

log = logging.getLogger("taskkit")

SLOW_SECONDS = 30.0
"""After so long without a batch it is said what is waited for; what a DataLoader's `timeout` is set to."""
HUNG_SECONDS = 600.0
"""After so long without a batch none is expected any more."""


def received(data_loader: DataLoader[Any], hung: float = HUNG_SECONDS) -> Iterator[Any]:
    """The batches of a loader with processes of its own; raises MachineError where one of these is gone or hangs.

    Where its `timeout` passes without a batch a warning is logged; `hung`: seconds after which none is expected.
    """
    batches, waited = iter(data_loader), 0.0
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except (ConnectionError, EOFError) as error:
            # A worker that ends while it hands over a batch. What its own code raised is told as `Caught …`.
            if str(error).startswith("Caught "):
                raise
            _end(batches)
            raise lost_worker(error) from error
        except RuntimeError as error:
            if _is_late(error):
                waited += data_loader.timeout
                if waited >= hung:
                    _end(batches, kill=True)
                    raise _hung(data_loader, waited) from error
                if waited <= data_loader.timeout:
                    _tell(waited)
                continue
            if not is_lost_worker(error):
                raise
            _end(batches)
            raise lost_worker(error) from error
        waited = 0.0
        yield batch


def is_lost_worker(error: BaseException) -> bool:
    """Whether a process that reads samples was killed; torch says so wherever the main one is at that moment."""
    return isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker (pid")


def lost_worker(error: Exception) -> MachineError:
    """What to change when a process that reads samples was killed."""
    said = str(error).partition(". ")[0].rstrip(". ")
    return MachineError(
        f"A process that reads samples ended before its time ({said}). Often the memory was full and the system killed "
        "it. Lower loader.workers or loader.batch_size."
    )


def _is_late(error: RuntimeError) -> bool:
    return str(error).startswith("DataLoader timed out")


def _end(batches: Any, *, kill: bool = False) -> None:
    """End the other processes too, so that torch's handler of SIGCHLD does not tell of a lost one once more.

    It would do so wherever this process is at that moment, as in the midst of saying what happened. `kill`: those that
    would not end when they are asked to, as this one is at its own end.
    """
    for _ in range(2):
        try:
            for worker in batches._workers if kill else ():
                worker.kill()
            batches._shutdown_workers()
        except RuntimeError as error:
            if not is_lost_worker(error):
                raise
        else:
            return


def _hung(data_loader: DataLoader[Any], waited: float) -> MachineError:
    return MachineError(
        f"The {data_loader.num_workers} processes that read samples gave no batch for {waited:.0f} seconds. They hang, "
        "as on a file system that does not answer, or on a lock of a library that is not made for several processes. "
        "See that the data can be read, or set loader.workers=0."
    )


def _tell(waited: float) -> None:
    log.warning(
        "no batch for %.0f s: the processes that read samples are slow. Raise loader.workers, or look at where the "
        "data lie",
        waited,
    )
