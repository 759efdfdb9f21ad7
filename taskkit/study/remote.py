"""The process of a cell where something else starts it: a task of Ray, or a job of SLURM through submitit."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskkit.runs.manifest import FILE

LOOK_SECONDS = 0.1


def words_of(run: Path, words: Sequence[str]) -> list[str]:
    """What `taskkit` is called with for a run that is to be begun, or gone on with where it is there."""
    return ["run", "--resume", str(run)] if (run / FILE).exists() else ["run", *words, "--out", str(run)]


@dataclass
class Remote:
    """What runs a cell, wherever it is called; its result is the exit code."""

    run: Path
    words: tuple[str, ...]
    output: Path
    held: Path
    """A file that is locked for as long as the run goes on."""
    folder: Path
    """The one that the study was called in."""
    threads: str | None
    """OMP_NUM_THREADS; None: it is not set. Ray and SLURM would set it each in their own way."""

    def __call__(self) -> int:
        """Run the cell; a KeyboardInterrupt, by which Ray cancels, lets it save itself first."""
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        if self.threads is not None:
            environment["OMP_NUM_THREADS"] = self.threads
        with self.held.open("a") as held, self.output.open("a") as said:
            with suppress(OSError):  # some network file systems know no locks
                fcntl.flock(held, fcntl.LOCK_EX)
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "taskkit", *words_of(self.run, self.words)],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                pass_fds=[held.fileno()],
            )
            return self._wait(process)

    def checkpoint(self) -> Any:
        """What submitit calls when SLURM is about to end a job: the same once more, which goes on with the run."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        try:
            while process.poll() is None:
                time.sleep(LOOK_SECONDS)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        return int(process.returncode)
