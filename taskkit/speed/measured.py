"""What a stretch of training was measured to do, and the stopwatch that measures it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from taskkit.engine.throughput import peak_memory

WARM = 10
"""Batches that are not like those that follow: memory is taken, kernels are chosen and compiled."""
SECONDS = 8.0
"""How long a stretch is watched at most, about."""
COMPARED = 5
"""First losses of two stretches that must agree."""


@dataclass(frozen=True)
class Size:
    """How much was trained on."""

    examples: int = 0
    real: int = 0
    """In the processor's units, padding left out."""
    padded: int = 0

    def __sub__(self, other: Size) -> Size:
        return Size(self.examples - other.examples, self.real - other.real, self.padded - other.padded)


@dataclass(frozen=True)
class Measured:
    """A stretch of training: times are seconds."""

    batches: int
    seconds: float
    waited: float
    """In which the next batch was not there."""
    first_step: float
    """From the beginning of the run, data prepared and samples encoded, to the end of its first step."""
    size: Size
    losses: tuple[float, ...]
    """Of the first batches."""
    memory: int
    """Bytes: the most that torch held on a CUDA device, or this process so far."""
    compiled: int
    """How often torch compiled something meanwhile, which it was to have done before."""

    @property
    def rate(self) -> float:
        """Examples a second."""
        return self.size.examples / self.seconds


class Stopwatch:
    """Call `stepped` after each batch, `waits` before one is asked for and `got` once it is there.

    It waits for the device only where a stretch begins and ends. `measured` is None until it has.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.measured: Measured | None = None
        self._began = time.perf_counter()
        self._losses: list[Tensor] = []
        self._batches = 0
        self._first = self._start = self._waited = self._asked = 0.0
        self._size = Size()
        self._compiled = 0

    def waits(self) -> None:
        """The next batch is asked for."""
        self._asked = time.perf_counter()

    def got(self) -> None:
        """It is there."""
        self._waited += time.perf_counter() - self._asked

    def stepped(self, loss: Tensor, device: torch.device, size: Callable[[], Size]) -> bool:
        """Count a batch; `size`: of all so far. Whether all was seen."""
        self._batches += 1
        if self._batches <= COMPARED:
            self._losses.append(loss.detach())
        if self._batches == 1:
            _wait_for(device)
            self._first = time.perf_counter() - self._began
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
        if self._batches == WARM:
            _wait_for(device)
            self._size, self._compiled, self._waited = size(), compilations(), 0.0
            self._start = time.perf_counter()
        enough = self._batches - WARM >= self.steps
        if self._start and (enough or time.perf_counter() - self._start > SECONDS):
            self.stop(device, size)
        return self.measured is not None

    def stop(self, device: torch.device, size: Callable[[], Size]) -> None:
        """End the stretch, if one was begun and has not ended; so does a training that is over."""
        if self.measured is not None or self._batches <= WARM:
            return
        _wait_for(device)
        self.measured = Measured(
            self._batches - WARM,
            time.perf_counter() - self._start,
            self._waited,
            self._first,
            size() - self._size,
            tuple(float(loss) for loss in self._losses),
            peak_memory(device),
            compilations() - self._compiled,
        )


def compilations() -> int:
    """How many graphs torch compiled in this process."""
    counted: int = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    return counted


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
