"""Words while torch and plugins are imported, which takes seconds in which nothing else could be said, and signals
while something is then trained."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

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


@contextmanager
def stoppable() -> Iterator[None]:
    """Listen for signals meanwhile, of what leaves nothing behind; one ends the command with its number."""
    from taskkit.engine.signals import Preempted, Signals

    try:
        with Signals().heard():
            yield
    except Preempted as stop:
        raise click.exceptions.Exit(128 + stop.number) from None
