"""Processes that begin where one stands that has imported what they need: most of a short training is imports.

`python -m taskkit.verify.workshop MODULE…` imports modules and forks a process for each order that it reads.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from taskkit.errors import RunFailedError

HOST = (
    *("taskkit.api", "taskkit.cli.run", "taskkit.engine.run"),
    *("omegaconf", "omegaconf.grammar_parser", "pandas", "pyarrow.parquet"),
)
"""What every training imports; pandas where it is there, since pyarrow asks for it."""


class Order(NamedTuple):
    """A module to be run with arguments, as by `python -m`, the file that takes what it says, and where it is run."""

    words: Sequence[str]
    said: str
    folder: str


class Workshop:
    """A process that has imported modules and forks; where nothing may be forked, processes of their own.

    Nothing is drawn before a fork, and the hashes of two workshops have two seeds: what must not depend on the process
    is done in two of them.
    """

    def __init__(self, modules: Iterable[str], *, forks: bool) -> None:
        words = [sys.executable, "-P", "-m", "taskkit.verify.workshop", *HOST, *modules]
        # One forked process after another hears of an end of file once this one closes its side.
        self._process = (
            subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) if forks else None
        )

    def run(self, words: Sequence[str], said: Path) -> int:
        """Run a module with arguments, in the folder that this process is in now, and return its exit code.

        It is negative for a signal; `said` takes what it says.

        Raises RunFailedError when the workshop itself is gone.
        """
        if self._process is None:
            with said.open("w") as file:
                command = [sys.executable, "-P", "-m", *words]
                return subprocess.run(command, stdout=file, stderr=subprocess.STDOUT).returncode
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(Order(words, str(said), str(Path.cwd()))) + "\n")
            self._process.stdin.flush()
        if answer := self._process.stdout.readline():
            return int(answer)
        raise RunFailedError(
            f"The process that short trainings are forked from ended with the exit code {self._process.wait()}. It was "
            "expected to wait for more. Memory may have run out: try again with fewer programs beside it."
        )

    def close(self) -> None:
        """Let the process end, once what it runs has ended."""
        if self._process is not None:
            self._process.communicate()


@contextmanager
def workshops(modules: Sequence[str], *, forks: bool) -> Iterator[tuple[Workshop, Workshop]]:
    """Two of them, which import at the same time."""
    pair = Workshop(modules, forks=forks), Workshop(modules, forks=forks)
    try:
        yield pair
    finally:
        for each in pair:
            each.close()


def _next_order(modules: Sequence[str]) -> Order | None:
    """The order that this process, a fork, is to carry out; None: there are no more, and it is the workshop."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What is printed while modules are imported is no answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Those who are forked hear it, and end.
    for module in modules:
        # What cannot be imported is told by the training that needs it.
        with suppress(Exception):
            importlib.import_module(module)
    for line in sys.stdin:
        order = Order(*json.loads(line))
        sys.stdout.flush()
        if (child := os.fork()) == 0:
            return order
        answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        answers.flush()
    return None


def _begin(order: Order) -> None:
    """Let a fork be as a process that was begun for the order alone."""
    import numpy as np

    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(order.folder)
    np.random.seed()
    nothing, said = os.open(os.devnull, os.O_RDONLY), os.open(order.said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for source, target in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(source, target)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as this process lives
    sys.argv = list(order.words)


if __name__ == "__main__":
    found = _next_order(sys.argv[1:])
    if found is not None:
        _begin(found)
        runpy.run_module(found.words[0], run_name="__main__", alter_sys=True)
