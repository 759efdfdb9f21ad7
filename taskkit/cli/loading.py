"""Words while torch and plugins are imported, which takes seconds in which nothing else could be said."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from taskkit import cores
from taskkit.cli.deferred import deferred

WORDS = "loading torch and plugins …"


@contextmanager
def loading() -> Iterator[None]:
    """Say on a terminal what one waits for, no longer than is needed, and take it back for what is said next."""
    cores.begun()
    stream = sys.stderr
    words = WORDS if stream.isatty() else ""
    stream.write(words)
    stream.flush()
    try:
        with deferred():
            yield
    finally:
        stream.write(f"\r{' ' * len(words)}\r" if words else "")
        stream.flush()
