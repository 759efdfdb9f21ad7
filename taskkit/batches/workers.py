"""Processes that read samples: what comes from them, and what is said when one is killed, hangs or is slow."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from multiprocessing.util import get_temp_dir
from types import TracebackType
from typing import Any

from torch.utils.data import DataLoader

from taskkit.errors import MachineError

log = logging.getLogger("taskkit")

SLOW_SECONDS = 30.0
"""After so long without a batch it is said what is waited for; what a DataLoader's `timeout` is set to."""
HUNG_SECONDS = 600.0
"""After so long without a batch none is expected any more."""


LONGEST_SOCKET = 103
"""Bytes that the path of a socket may have on any system."""
SHORT = ("/tmp", "/var/tmp", "/dev/shm")
"""Where sockets can lie where the folder for temporary files has too long a path."""


def received(data_loader: DataLoader[Any], hung: float = HUNG_SECONDS) -> Iterator[Any]:
    """The batches of a loader with processes of its own; raises MachineError where one of these is gone or hangs.

    It is raised too where there is no place for the sockets by which these hand over tensors. Where the loader's
    `timeout` passes without a batch a warning is logged; `hung`: seconds after which none is expected.
    """
    if data_loader.num_workers:
        place_sockets()
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


def leave_lost_connections_untold(worker: int) -> None:
    """Let this process, which reads samples, print no traceback where its parent is gone while it hands them over.

    There is nobody left to tell; a parent that was killed loses its connections before it is known to be gone, and one
    that is there says itself what is wrong with them.
    """
    told, parent = sys.excepthook, os.getppid()

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if os.getppid() == parent and not isinstance(error, ConnectionError | EOFError):
            told(kind, error, trace)

    sys.excepthook = hook


def place_sockets() -> None:
    """Choose where the sockets of this process and those that it starts lie, before any is made.

    They lie under TMPDIR, or in a shorter folder where that is too long for them: a process that cannot make one says
    so in a thread of its own, and whoever waits for its tensors waits for ever. Raises MachineError where no folder is
    short enough.
    """
    chosen = tempfile.tempdir
    at = tempfile.gettempdir()
    try:
        if not _is_short(f"{at}/pymp-12345678"):
            tempfile.tempdir = next((place for place in SHORT if os.access(place, os.W_OK | os.X_OK)), chosen)
        made = get_temp_dir()  # multiprocessing keeps to the first one that it makes
    finally:
        tempfile.tempdir = chosen
    if not _is_short(made):
        raise MachineError(
            f"{at}: the path of the folder for temporary files is too long for the sockets of processes that read "
            "samples. At most 70 bytes were expected. Set TMPDIR to a shorter folder, or loader.workers=0."
        )


def _is_short(folder: str) -> bool:
    return len(os.fsencode(f"{folder}/listener-12345678")) <= LONGEST_SOCKET


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
