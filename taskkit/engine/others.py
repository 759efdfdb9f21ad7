"""The other processes of a run on this machine: each ends when another did, with a reason, and none waits for ever."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch.distributed
from lightning_fabric.utilities.distributed import _set_num_threads_if_needed
from pytorch_lightning.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

GRACE_SECONDS = 20.0
"""Time for a process to end by itself, since it waits for one that is gone; then it is ended."""
LOOK_SECONDS = 0.5
STOPPED = {128 + number: number for number in (signal.SIGINT, signal.SIGTERM)} | {
    -number: number for number in (signal.SIGINT, signal.SIGTERM)
}
"""Exit codes of processes that a signal stopped, as a run gives them and as the system does."""


@dataclass(frozen=True)
class Ended:
    """A process of a run that ended before its time."""

    rank: int
    code: int

    @property
    def stopped_by(self) -> int | None:
        """The signal that asked it to stop; None: it failed, or was killed."""
        return STOPPED.get(self.code)

    def __str__(self) -> str:
        how = f"was killed by {signal.Signals(-self.code).name}" if self.code < 0 else f"ended with code {self.code}"
        return f"Process {self.rank} of this run {how}"


class Others:
    """The processes that this one starts for a run, if it starts any.

    `lost` is called, in a thread, when one ended before its time and this one went on waiting; it must not return.
    """

    def __init__(self, lost: Callable[[Ended], None]) -> None:
        self.lost = lost
        self._processes: Sequence[subprocess.Popen[bytes]] = ()

    def start_by(self, trainer: pl.Trainer) -> None:
        """Let a Trainer start its processes so that they are watched.

        Lightning's own watch kills this process within seconds of another's end, while it says why or saves.
        """
        launcher = trainer.strategy.launcher
        if isinstance(launcher, _SubprocessScriptLauncher):
            trainer.strategy._launcher = _Launcher(launcher, self)

    def watch(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        """Watch processes that were started, by rank from 1 on."""
        self._processes = processes
        threading.Thread(target=self._watch, daemon=True, name="other-processes").start()

    def ended(self, within: float = 0.0) -> Ended | None:
        """The first that ended before its time, waiting so many seconds for one."""
        until = time.monotonic() + within
        while True:
            codes = [(rank, process.poll()) for rank, process in enumerate(self._processes, 1)]
            found = next((Ended(rank, code) for rank, code in codes if code), None)
            if found is not None or time.monotonic() >= until or not codes:
                return found
            time.sleep(LOOK_SECONDS / 5)

    def send(self, number: int) -> None:
        """Send a signal to those that go on."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(number)

    def _watch(self) -> None:
        while (ended := self.ended()) is None:
            if all(process.poll() == 0 for process in self._processes):
                return
            time.sleep(LOOK_SECONDS)
        time.sleep(GRACE_SECONDS)
        self.send(signal.SIGKILL)
        self.lost(ended)


class _Launcher(_SubprocessScriptLauncher):
    def __init__(self, of: _SubprocessScriptLauncher, others: Others) -> None:
        super().__init__(of.cluster_environment, of.num_processes, of.num_nodes)
        self.others = others

    def launch(self, function: Callable[..., Any], *args: Any, trainer: pl.Trainer | None = None, **kwargs: Any) -> Any:
        """Start the other processes, watch them, and call the function."""
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not self.cluster_environment.creates_processes_externally:
            self._call_children_scripts()
            self.others.watch(self.procs)
        atexit.register(_leave)
        _set_num_threads_if_needed(num_processes=self.num_processes)
        return function(*args, **kwargs)


def _leave() -> None:
    """Leave the process group while Python still stands.

    A thread of gloo that lets go of a tensor only when Python is ending aborts the process, whose exit code is lost:
    it needs the interpreter's lock, and Python ends a thread that asks for it then. What is under way is waited for,
    but not for ever.
    """
    if torch.distributed.is_initialized():
        leaving = threading.Thread(target=torch.distributed.destroy_process_group, daemon=True, name="leaving")
        leaving.start()
        leaving.join(GRACE_SECONDS)


def end_with_parent(say: Callable[[str], None]) -> None:
    """Let this process, which another started for a run, end soon after that one did."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        time.sleep(GRACE_SECONDS)
        say("The process that started this one for a run ended; this one waited for it in vain.")
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent").start()
