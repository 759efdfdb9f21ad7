"""Inputs of many requests, answered together by one thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import Any

from taskkit.answering.answerer import Answerer, Encoded
from taskkit.contracts.facts import Example, Prediction
from taskkit.serving.limits import Limits
from taskkit.serving.refused import Refused

FILLED = 1.5
"""Samples are answered together while they are, padded, at most so many times as large as they are."""


class Waiting:
    """A request's answers, of which some are still to come: one future for all, since each wakes an event loop."""

    def __init__(self, inputs: int) -> None:
        self.future: Future[Sequence[Prediction]] = Future()
        """One prediction for each input, in their order; or what the first input failed by that did."""
        self.failed = 0
        """The number of that input."""
        self._found: dict[int, Prediction] = {}
        self._inputs = inputs

    @property
    def wanted(self) -> bool:
        """Whether anybody waits still: none does for a request that was given up, or of which an input failed."""
        return not self.future.done()

    def answer(self, number: int, prediction: Prediction) -> None:
        """Take the prediction for the input of a number."""
        self._found[number] = prediction
        if len(self._found) == self._inputs:
            with _perhaps_given_up():
                self.future.set_result([self._found[each] for each in range(self._inputs)])

    def fail(self, number: int, error: Exception) -> None:
        """Take what the input of a number failed by, if none did before."""
        if self.wanted:
            self.failed = number
            with _perhaps_given_up():
                self.future.set_exception(error)


@dataclass(frozen=True)
class Job:
    """An encoded example that waits for its prediction."""

    example: Example
    samples: Sequence[Encoded]
    options: Any
    """How it is to be answered; only inputs with equal options are answered together."""
    length: int
    """Of its longest sample."""
    request: Waiting
    number: int
    """Which input of the request it is."""
    since: float = field(default_factory=time.monotonic)


class Batcher:
    """A bounded queue of jobs, and the thread that answers them; `observe` is told how many samples each batch has.

    Jobs of a request that waits no longer are left out.
    """

    def __init__(self, answerer: Answerer, limits: Limits, observe: Callable[[int], None]) -> None:
        self._answerer = answerer
        self._limits = limits
        self._observe = observe
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many jobs nobody has begun yet."""
        return len(self._jobs)

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue jobs, all or none; raises Refused (429) where they are too many."""
        with self._changed:
            if self._closed:
                raise Refused(503, "This model is being replaced or stopped. Ask again.", again=1)
            if len(self._jobs) + len(jobs) > self._limits.queue:
                raise Refused(429, f"{len(self._jobs)} inputs wait already. Ask again later.", again=1)
            self._jobs.extend(jobs)
            self._changed.notify()

    def close(self) -> None:
        """Take no more jobs, and return when those that wait are answered."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next():
            live = [job for job in batch if job.request.wanted]
            for together in _alike(live):
                self._observe(sum(len(job.samples) for job in together))
                self._answer(together)

    def _next(self) -> list[Job]:
        """The next jobs with the options of the first; none: it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            if not self._jobs:
                return []
            until = self._jobs[0].since + self._limits.batch_ms / 1000
            self._changed.wait_for(
                lambda: self._closed or len(self._jobs) >= self._limits.batch, timeout=until - time.monotonic()
            )
            taken: list[Job] = []
            left: deque[Job] = deque()
            size = 0
            for job in self._jobs:
                fits = not taken or (job.options == taken[0].options and size + len(job.samples) <= self._limits.batch)
                (taken if fits else left).append(job)
                size += len(job.samples) if fits else 0
            self._jobs = left
            return taken

    def _answer(self, jobs: Sequence[Job]) -> None:
        try:
            found = self._answerer.answer([job.example for job in jobs], [job.samples for job in jobs], jobs[0].options)
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].request.fail(jobs[0].number, error)
                return
            # One of them may be at fault: the others are not to suffer from it.
            for job in jobs:
                self._answer([job])
            return
        for job, prediction in zip(jobs, found, strict=True):
            job.request.answer(job.number, prediction)


def _perhaps_given_up() -> AbstractContextManager[None]:
    """A request may be given up at any moment, or have failed before."""
    return suppress(InvalidStateError)


def _alike(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs in as few groups as go with little padding, the longest first."""
    groups: list[list[Job]] = []
    real = 0
    for job in sorted(jobs, key=lambda job: job.length, reverse=True):
        real += job.length
        if groups and (len(groups[-1]) + 1) * groups[-1][0].length <= FILLED * real:
            groups[-1].append(job)
        else:
            groups.append([job])
            real = job.length
    return groups
