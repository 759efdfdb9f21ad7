"""A short run in a process of its own, and what it measured."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from taskkit.errors import OutOfMemoryError, RunFailedError, TaskkitError
from taskkit.preflight import trial
from taskkit.preflight.trial import Timed
from taskkit.recipe.load import Resolved

LAST_LINES = 12
"""Lines of what a trial said that are shown when it failed."""


def tried(resolved: Resolved, seconds: float = trial.SECONDS) -> Timed:
    """What a short run measured, whose training is watched for about so many seconds.

    Raises TaskkitError with what it said where something must be changed, OutOfMemoryError where its memory was full,
    RunFailedError where it failed otherwise.
    """
    with tempfile.TemporaryDirectory(prefix="taskkit-check-") as folder:
        recipe = Path(folder, "recipe.yaml")
        recipe.write_text(resolved.to_yaml())
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "taskkit.preflight.trial", str(recipe), folder, str(seconds)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        if ended.returncode == 0:
            return trial.read(Path(folder, trial.FILE))
    if ended.returncode == -signal.SIGKILL:
        raise OutOfMemoryError(
            "A short run of this recipe was killed. Most likely the memory was full and the system killed it, as it "
            "would a run."
        )
    said = "\n".join(ended.stdout.splitlines()[-LAST_LINES:])
    if ended.returncode == trial.OUT_OF_MEMORY:
        raise OutOfMemoryError("A short run of this recipe found the memory full.")
    if ended.returncode == TaskkitError.exit_code:
        raise TaskkitError(said)
    raise RunFailedError(
        f"A short run of this recipe ended with the exit code {ended.returncode}; 0 was expected. Mend what it says "
        f"first, as `taskkit run` would say it too:\n{said}"
    )
