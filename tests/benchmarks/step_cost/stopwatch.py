"""Measures a window of steps from inside the work, so that no driver pays for a hook of its own."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from step_cost.sections import Classify

COMPARED = 20
"""So many first losses are reported, to be compared among drivers."""


class Stopwatch:
    """Call `tick` once in each step; after the last measured one it writes its report.

    The report holds `seconds` of wall time, `device_seconds` by CUDA events or None, `warmup_seconds` from the making
    of the stopwatch on, `calls` of Python functions or None, `peak_memory_bytes` or None, and the first losses.
    """

    def __init__(self, section: Classify) -> None:
        self.section = section
        self.ticks = self.calls = 0
        self.losses: list[Tensor] = []
        self.began = time.perf_counter()
        self.events: list[torch.cuda.Event] = []

    def tick(self, loss: Tensor) -> None:
        """Count one step, whose loss is known by now."""
        if self.ticks < COMPARED:
            self.losses.append(loss.detach())
        if self.ticks == self.section.warmup:
            self._start(loss.device)
        elif self.ticks == self.section.warmup + self.section.steps:
            self._stop(loss.device)
        self.ticks += 1

    def _start(self, device: torch.device) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            self._mark()
        if self.section.measure == "calls":
            sys.setprofile(self._count)
        self.started = time.perf_counter()

    def _stop(self, device: torch.device) -> None:
        sys.setprofile(None)
        cuda = device.type == "cuda"
        if cuda:
            self._mark()
            torch.cuda.synchronize(device)
        report = {
            "seconds": time.perf_counter() - self.started,
            "device_seconds": self.events[0].elapsed_time(self.events[1]) / 1000 if cuda else None,
            "warmup_seconds": self.started - self.began,
            "calls": self.calls if self.section.measure == "calls" else None,
            "peak_memory_bytes": torch.cuda.max_memory_allocated(device) if cuda else None,
            "losses": [float(loss) for loss in self.losses],
        }
        Path(self.section.report).write_text(json.dumps(report))

    def _mark(self) -> None:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        self.events.append(event)

    def _count(self, frame: Any, event: str, argument: Any) -> None:
        self.calls += event == "call"
