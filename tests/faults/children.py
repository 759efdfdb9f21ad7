"""taskkit's command line in child processes: forked from one that has imported everything, or begun afresh.

A forked child is what `python -m taskkit` is once its imports are done, five seconds earlier. Both lead a session of
their own, so that what they leave behind is found.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(["tests.faults.warm"])
ENDS_WITHIN = 120.0
"""Seconds after which a child hangs."""
LEFT_WITHIN = 15.0
"""Seconds in which what a dead process had started is gone: torch's readers look for their parent every five."""


@dataclass(frozen=True)
class Ended:
    """What came of a child."""

    code: int
    """Its exit code; below 0: the number of the signal that ended it; None of these where it hung: `HUNG`."""
    said: str
    errors: str
    seconds: float
    peak: int
    """The most memory that it held at once, in bytes; 0: it was killed, or begun afresh."""


HUNG = -1000


class Child:
    """taskkit with these words, in a folder, with changes of the environment."""

    def __init__(
        self,
        words: Sequence[str],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        fresh: bool = False,
        before: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.began = time.monotonic()
        said, errors, peak = (folder / f".{name}" for name in ("said", "errors", "peak"))
        for path in (said, errors, peak):
            path.unlink(missing_ok=True)
        self._files = (said, errors, peak)
        variables = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default", **(environment or {})}
        self._process: Any
        if fresh or before:
            with said.open("wb") as out, errors.open("wb") as err:
                self._process = subprocess.Popen(
                    [*before, sys.executable, "-m", "taskkit", *words],
                    cwd=folder,
                    env={**os.environ, **variables},
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,
                )
            self.sentinel = os.pidfd_open(self._process.pid)
        else:
            self._process = WARM.Process(target=_call, args=(list(words), str(folder), variables))
            self._process.start()
            self.sentinel = self._process.sentinel
        self.pid: int = self._process.pid

    @property
    def goes_on(self) -> bool:
        """Whether it has not ended."""
        return self._code() is None

    def end(self, within: float = ENDS_WITHIN) -> Ended:
        """Wait for it; one that hangs is killed."""
        _wait(self._process, within)
        hung = self.goes_on
        if hung:
            os.killpg(self.pid, signal.SIGKILL)
            _wait(self._process, 10)
        code, (said, errors, peak) = self._code(), self._files
        return Ended(
            HUNG if hung or code is None else code,
            _text(said),
            _text(errors),
            time.monotonic() - self.began,
            int(_text(peak) or 0),
        )

    def freeze(self) -> bool:
        """Stop it where it is, and say whether it stands: it may have ended first."""
        try:
            os.kill(self.pid, signal.SIGSTOP)
            process = psutil.Process(self.pid)
            while process.status() != psutil.STATUS_STOPPED:
                if not self.goes_on:
                    return False
                time.sleep(0.001)
        except (ProcessLookupError, psutil.NoSuchProcess):
            return False
        return True

    def send(self, number: int, *, to_all: bool = False) -> None:
        """Send a signal to it, or to all that it started too, if it is there."""
        try:
            (os.killpg if to_all else os.kill)(self.pid, number)
        except ProcessLookupError:
            return

    def left(self) -> list[str]:
        """What it started and left behind, once it had time to end."""
        until = time.monotonic() + LEFT_WITHIN
        while found := self.started():
            if time.monotonic() > until:
                return [" ".join(process.cmdline()) for process in found]
            time.sleep(0.05)
        return []

    def started(self) -> list[psutil.Process]:
        """The processes of its session but itself."""
        return [
            process for process in psutil.process_iter() if process.pid != self.pid and _session(process) == self.pid
        ]

    def _code(self) -> int | None:
        code: int | None = (
            self._process.poll() if isinstance(self._process, subprocess.Popen) else self._process.exitcode
        )
        return code


def taskkit(
    words: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None, *, fresh: bool = False
) -> Ended:
    """Call taskkit and wait for it."""
    return Child(words, folder, environment, fresh=fresh).end()


@contextmanager
def tmpfs(place: Path, size: str) -> Iterator[Path]:
    """A small disk of its own at a place, as root alone can have it; raises CalledProcessError."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "taskkit-faults", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def read_only(place: Path) -> Iterator[Path]:
    """A folder in which nobody may write, root neither."""
    subprocess.run(["mount", "--bind", place, place], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def become(folder: str, variables: Mapping[str, str]) -> None:
    """Let a forked child be a process of its own in a folder, which keeps what it says in `.said` and `.errors`."""
    os.setsid()
    # As in a process of its own; a child of a fork server takes its way of starting others from it.
    multiprocessing.set_start_method("fork", force=True)
    os.chdir(folder)
    os.environ.update(variables)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, path in ((1, ".said"), (2, ".errors")):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)


def _call(words: list[str], folder: str, variables: dict[str, str]) -> None:
    """What a forked child does: it becomes `taskkit WORDS` in a folder."""
    become(folder, variables)
    from taskkit.cli import main

    # What a run keeps of its command is that of this process.
    sys.argv = ["taskkit", *words]
    try:
        main(words, prog_name="taskkit")
    finally:
        sys.stdout.flush()
        Path(folder, ".peak").write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


def _wait(process: Any, within: float) -> None:
    if not isinstance(process, subprocess.Popen):
        process.join(within)
        return
    try:
        process.wait(within)
    except subprocess.TimeoutExpired:
        return


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return -1


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
