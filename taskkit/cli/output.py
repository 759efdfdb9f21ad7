"""How the command line says something: whatever is in a file's name, a terminal shows it and does not act upon it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import click

from taskkit.wording import printable


def say(message: object, *, err: bool = False) -> None:
    """Print a message, on stderr if `err`, with control characters escaped."""
    click.echo(printable(str(message)), err=err)


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
