"""One writer of a directory: its lock, which goes with a process that is killed."""

from __future__ import annotations

import fcntl
from typing import IO


def is_free(file: IO[str]) -> bool:
    """Lock a file for this process, unless another one has; where a file system knows no locks, say that it is free.

    Such are some that several machines share: there the record in the directory says who writes.
    """
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True
