"""Processes of their own that stop half-way, say so, and go on when they are told to, or are killed there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Start = Callable[..., "subprocess.Popen[str]"]


@contextmanager
def processes(source: str) -> Iterator[Start]:
    """Start processes of this source with these arguments; those that still go on at the end are killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        command, pipe = [sys.executable, "-c", source, *map(str, arguments)], subprocess.PIPE
        started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str], words: str) -> None:
    """Read what a process says until it says these words."""
    assert process.stdout is not None
    assert any(words in line for line in iter(process.stdout.readline, "")), f"it never said {words!r}"
