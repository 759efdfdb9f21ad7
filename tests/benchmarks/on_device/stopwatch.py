"""Measures a window of steps from inside the work, by its step and its batches, so that no driver pays for a hook."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function

from taskkit.batches.loader import HostBatch, Loader
from taskkit.contracts.data import Batch
from taskkit.contracts.task import Step, Task
from taskkit.engine.throughput import peak_memory
from taskkit.speed.measured import compilations

COMPARED = 20
"""So many first losses are reported, to be compared among drivers."""
LEAST = 10
"""Steps that are timed at least, however long they take; twice as many are warmed up."""
MARK = "on_device step"
LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch")
SYNCHRONISATIONS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


@dataclass(frozen=True)
class Window:
    """Which steps are measured: after `warmup` so many `steps`, each as `seconds` allow, then some in a profile."""

    warmup: int
    steps: int
    seconds: float
    profiled: int

    @property
    def whole(self) -> int:
        """Steps that a run has, so that no driver ends before the window does."""
        return self.warmup + self.steps + self.profiled + 2


class Size(NamedTuple):
    """How much a batch holds; `real` and `padded` in the processor's units, without and with padding."""

    examples: int
    real: int
    padded: int


class Stopwatch:
    """Attach it to a task and its loader before the first batch is asked for; `report` is there once it is `done`.

    `held` are batches that are handed over in turn, in place of what the loader would read.
    """

    def __init__(self, window: Window, held: Sequence[HostBatch] = ()) -> None:
        self.window = window
        self.held = held
        self.report: dict[str, Any] | None = None
        self.done = False
        self._ticks = 0
        self._losses: list[Tensor] = []
        self._sizes: list[Size] = []
        self._began = time.perf_counter()
        self._waited = self._started = 0.0
        self._compiled = 0
        self._warm: int | None = None
        """The steps that were warmed up, once they are over."""
        self._events: list[torch.cuda.Event] = []
        self._profile: profile | None = None

    def attach(self, task: Task, loader: Loader) -> None:
        """Look at each step of this task, and each batch of this loader, from now on."""
        # Of these objects alone: both are made anew for each run.
        task.step = self._watched(task.step)  # type: ignore[assignment]
        loader._from_workers = self._handed(loader)  # type: ignore[assignment]

    def _handed(self, loader: Loader) -> Callable[[int], Iterator[HostBatch]]:
        read = loader._from_workers

        def batches(start: int) -> Iterator[HostBatch]:
            found = iter(self._in_turn(start, len(loader.plan)) if self.held else read(start))
            while True:
                asked = time.perf_counter()
                batch = next(found, None)
                self._waited += time.perf_counter() - asked
                if batch is None:
                    return
                padded = loader.processor.padded_size(batch.tensors)
                self._sizes.append(Size(batch.samples, batch.real_size, padded))
                yield batch

        return batches

    def _in_turn(self, start: int, end: int) -> Iterator[HostBatch]:
        return (self.held[number % len(self.held)] for number in range(start, end))

    def _watched(self, step: Callable[[Batch], Step]) -> Callable[[Batch], Step]:
        def watched(batch: Batch) -> Step:
            made = step(batch)
            assert made.loss is not None
            self._tick(made.loss)
            return made

        return watched

    def _tick(self, loss: Tensor) -> None:
        """Count one step, whose loss is known by now."""
        w, device = self.window, loss.device
        if self._ticks < COMPARED:
            self._losses.append(loss.detach())
        if self._ticks == 0:
            self._started = time.perf_counter()
        elif self._warm is None:
            if self._over(self._ticks, w.warmup, 2 * LEAST):
                self._start(device)
        elif self.report is None:
            steps = self._ticks - self._warm
            if self._over(steps, w.steps, LEAST):
                self._stop(device, steps, self._warm)
        if self._profile is not None:
            self._look()
        self._ticks += 1

    def _over(self, steps: int, most: int, least: int) -> bool:
        """Whether so many steps are enough, or enough for the time that they took."""
        return steps >= most or (steps >= least and time.perf_counter() - self._started > self.window.seconds)

    def _start(self, device: torch.device) -> None:
        self._warm = self._ticks
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            self._mark()
        self._compiled, self._waited = compilations(), 0.0
        self._started = time.perf_counter()

    def _stop(self, device: torch.device, steps: int, warm: int) -> None:
        cuda = device.type == "cuda"
        waited = self._waited
        if cuda:
            self._mark()
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - self._started
        # The loss of a step is known before the step is over: each window is one of whole steps all the same.
        sizes = self._sizes[warm : warm + steps]
        self.report = {
            "warmup": warm,
            "steps": steps,
            "seconds": seconds,
            "device_seconds": self._events[0].elapsed_time(self._events[1]) / 1000 if cuda else None,
            "waited": waited,
            **Size(*map(sum, zip(*sizes, strict=True)))._asdict(),
            "warmup_seconds": self._started - self._began,
            "peak_memory_bytes": peak_memory(device),
            "recompilations": compilations() - self._compiled,
            "losses": [float(loss) for loss in self._losses],
        }
        kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
        self._profile = profile(activities=kinds, acc_events=True)
        self._profile.start()
        self._marks = 0

    def _look(self) -> None:
        """Mark a step in the profile; after the last one, read it."""
        assert self._profile is not None
        assert self.report is not None
        with record_function(MARK):
            self._marks += 1
        if self._marks > self.window.profiled:
            self._profile.stop()
            events: Any = self._profile.events()  # type: ignore[no-untyped-call]
            self.report |= counted([(event.name, event.time_range.start) for event in events], self.window.profiled)
            self._profile = None
            self.done = True

    def _mark(self) -> None:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        self._events.append(event)


def counted(events: Sequence[tuple[str, float]], steps: int) -> dict[str, float | None]:
    """Launches and synchronisations a step, by the names and starts of the events of a profile of so many steps.

    What is before the first mark or after the last is the profiler's own. None where the device is no CUDA device.
    """
    marks = [start for name, start in events if name == MARK]
    inside = [name for name, start in events if min(marks) <= start < max(marks)]
    if not any(name.startswith(LAUNCHES) for name in inside):
        return {"launches": None, "synchronisations": None}
    return {
        "launches": sum(name.startswith(LAUNCHES) for name in inside) / steps,
        "synchronisations": sum(name in SYNCHRONISATIONS for name in inside) / steps,
    }
