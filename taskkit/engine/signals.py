"""What SIGINT, SIGTERM and SIGHUP ask of a run, from its preparing to its last word."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Preempted(BaseException):
    """A signal stopped the run; `saved`: what was trained until then was saved for it."""

    def __init__(self, number: int, when: str, *, saved: bool) -> None:
        super().__init__(f"{signal.Signals(number).name} {when}")
        self.number = number
        self.saved = saved


class Signals:
    """Listens for signals while a run goes on, in the main thread of its process.

    Outside of training a signal raises Preempted at once. In training it is kept in `number`, for whoever saves the run
    and calls `stop`; a second SIGINT is not waited for. SIGTERM asks for the same however often it comes, since
    schedulers send it to a job's steps and processes, and again; so does SIGHUP, which a terminal sends that is closed.
    Once a run is stopping no signal disturbs it.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._process = os.getpid()
        self._held = False
        self._stopping = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Listen meanwhile."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in _heeded()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep signals until the run is saved; raises Preempted where one that came before was lost on its way."""
        if self.number is not None:
            self.stop(self.number, "before training", saved=False)
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def stop(self, number: int, when: str, *, saved: bool) -> NoReturn:
        """Raise Preempted, and let no other signal come between until the run has ended."""
        self._stopping = True
        raise Preempted(number, when, saved=saved)

    def _on_signal(self, number: int, frame: FrameType | None) -> Any:
        if os.getpid() != self._process:
            _in_child(number)
        elif not self._stopping:
            again, self.number = self.number is not None, self.number or number
            if not self._held:
                self.stop(number, "outside of training", saved=False)
            if again and number == signal.SIGINT:
                self.stop(number, "a second time", saved=False)


def _heeded() -> list[signal.Signals]:
    """Those that ask something of a run: a SIGHUP that is ignored, as by nohup, asks nothing."""
    return [number for number in SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]


def _in_child(number: int) -> None:
    """What a forked process does that inherited a handler: Ctrl-C is the parent's, SIGTERM and SIGHUP end it."""
    if number != signal.SIGINT:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
