"""How the command line says something: whatever is in a file's name, a terminal shows it and does not act upon it."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

import click

from taskkit.wording import printable


def say(message: object, *, err: bool = False) -> None:
    """Print a message, on stderr if `err`, with control characters escaped."""
    click.echo(printable(str(message)), err=err)


def lasting() -> IO[str]:
    """Standard output for what goes on after its terminal was closed: from then on what is written goes nowhere."""
    return cast(IO[str], _Lasting(sys.stdout))


class _Lasting:
    """A stream of text, with all that it has."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text, while there is a terminal."""
        with _outlived():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Bring what was written to the terminal, while there is one."""
        with _outlived():
            self._stream.flush()


@contextmanager
def _outlived() -> Iterator[None]:
    """Where the terminal is gone, let this process write to nothing instead: what it prints is in its log too."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        nothing = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nothing, stream.fileno())
        os.close(nothing)


@contextmanager
def printable_logs() -> Iterator[None]:
    """Escape control characters in what taskkit logs, whoever prints it."""
    logger, escape = logging.getLogger("taskkit"), _Escape()
    logger.addFilter(escape)
    try:
        yield
    finally:
        logger.removeFilter(escape)


class _Escape(logging.Filter):
    """Changes messages and lets all pass. A handler would print a second time what a run prints already."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Escape one message."""
        record.msg, record.args = printable(record.getMessage()), ()
        return True
