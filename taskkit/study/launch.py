"""How the process of a cell is started, watched and asked to stop."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from taskkit import cores
from taskkit.errors import CheckpointError
from taskkit.runs import manifest
from taskkit.study.remote import Remote, words_of


class Job(Protocol):
    """A process that runs a cell."""

    def ended(self) -> int | None:
        """Its exit code, negative where a signal ended it; None: it goes on."""

    def stop(self) -> None:
        """Ask it to save its run and end."""

    def kill(self) -> None:
        """End it at once."""


class Launcher(Protocol):
    """A place where runs go on, some at a time."""

    places: int

    def start(self, work: Remote, place: int) -> Job:
        """Start a run in one of the places, counted from 0; it holds its lock for as long as it goes on."""

    def close(self) -> None:
        """Nothing is started any more."""


class Local:
    """Processes on this machine."""

    def __init__(self, processes: int, devices: Sequence[int] = ()) -> None:
        self.places = processes
        self.devices = devices

    def start(self, work: Remote, place: int) -> Job:
        """Start a process, which no signal reaches that a terminal sends to this one."""
        with work.output.open("a") as said, work.held.open("a") as held:
            with suppress(OSError):  # some network file systems know no locks
                fcntl.flock(held, fcntl.LOCK_EX)
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "taskkit", *words_of(work.run, work.words)],
                env={**os.environ, **self._variables(place)},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                pass_fds=[held.fileno()],
                start_new_session=True,
            )
        return _Child(process)

    def close(self) -> None:
        """Nothing is left."""

    def _variables(self, place: int) -> Mapping[str, str]:
        return {
            **threads(self.places),
            **({"CUDA_VISIBLE_DEVICES": str(self.devices[place % len(self.devices)])} if self.devices else {}),
        }


def threads(processes: int) -> Mapping[str, str]:
    """How many threads each of several processes takes, unless that is said: together as many as there are cores.

    torch would take all cores in each, and they would wait for each other.
    """
    if processes == 1 or "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, len(cores.usable()) // processes))}


@dataclass(frozen=True)
class _Child:
    process: subprocess.Popen[bytes]

    def ended(self) -> int | None:
        return self.process.poll()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        # With those that it started, in its session.
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


class Orphan:
    """A process that is known by its run alone, as one whose study was killed and which goes on.

    `is_free` says whether nobody holds its cell any more.
    """

    def __init__(self, run: Path, is_free: Callable[[], bool]) -> None:
        self.run = run
        self.is_free = is_free
        self._to_send: int | None = None

    def ended(self) -> int | None:
        """0 when it is gone; how it ended is in its run."""
        if self.is_free():
            return 0
        # It may not have written its run when it was to be stopped first.
        if self._to_send is not None and self._send(self._to_send):
            self._to_send = None
        return None

    def stop(self) -> None:
        """Send SIGTERM to the process that run.json names, once it names one."""
        self._to_send = signal.SIGTERM

    def kill(self) -> None:
        """Send SIGKILL to the process that run.json names, once it names one."""
        self._to_send = signal.SIGKILL

    def _send(self, number: int) -> bool:
        with suppress(CheckpointError, ProcessLookupError):
            said = manifest.read(self.run)
            if said.status == "running" and said.process is not None and said.process.is_there:
                os.kill(said.process.pid, number)
                return True
        return False
