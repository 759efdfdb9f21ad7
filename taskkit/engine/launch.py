"""Which process of a run this is, and how the others find its directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taskkit.errors import TaskkitError

RUN_DIRECTORY = "TASKKIT_RUN_DIRECTORY"
"""The environment variable with the path of the run directory, for child processes started by the Trainer."""


def is_primary() -> bool:
    """Whether this process is the first of a run's, by the variables that launchers set."""
    ranks = (os.environ.get(name) for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"))
    return int(next((rank for rank in ranks if rank is not None), "0")) == 0


def shared_directory(out: Path | None) -> Path:
    """The directory of the run that the first of its processes began; raises TaskkitError when nothing names it."""
    named = os.environ.get(RUN_DIRECTORY, out)
    if named is None:
        raise TaskkitError(
            "This is not the first process of its run, and nothing says where that is. "
            "Processes that a launcher starts need the same --out DIR."
        )
    return Path(named)


@contextmanager
def directory_for_children(directory: Path) -> Iterator[None]:
    """Name the run directory to processes that are started meanwhile."""
    before = os.environ.get(RUN_DIRECTORY)
    os.environ[RUN_DIRECTORY] = str(directory.resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ[RUN_DIRECTORY]
        else:
            os.environ[RUN_DIRECTORY] = before
