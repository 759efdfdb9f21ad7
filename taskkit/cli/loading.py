"""Words while torch and plugins are imported, which takes seconds in which nothing else could be said."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

WORDS = "loading torch and plugins …"


@contextmanager
def loading() -> Iterator[None]:
    """Say on a terminal what one waits for, and take it back when something else is to be said."""
    stream = sys.stderr
    if not stream.isatty():
        yield
        return
    stream.write(WORDS)
    stream.flush()
    try:
        yield
    finally:
        stream.write(f"\r{' ' * len(WORDS)}\r")
        stream.flush()
