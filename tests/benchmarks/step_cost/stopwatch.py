"""Measures a window of steps from inside the work, so that no driver pays for a hook of its own."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from torch import Tensor

from step_cost.sections import Classify

COMPARED = 20
"""So many first losses are reported, to be compared among drivers."""


class Stopwatch:
    """Call `tick` once in each step; after the last measured one it writes its report.

    The report holds `seconds` of wall time, `calls` of Python functions or None, and the first losses.
    """

    def __init__(self, section: Classify) -> None:
        self.section = section
        self.ticks = self.calls = 0
        self.losses: list[Tensor] = []

    def tick(self, loss: Tensor) -> None:
        """Count one step, whose loss is known by now."""
        if self.ticks < COMPARED:
            self.losses.append(loss.detach())
        if self.ticks == self.section.warmup:
            self._start()
        elif self.ticks == self.section.warmup + self.section.steps:
            self._stop()
        self.ticks += 1

    def _start(self) -> None:
        if self.section.measure == "calls":
            sys.setprofile(self._count)
        self.started = time.perf_counter()

    def _stop(self) -> None:
        sys.setprofile(None)
        report = {
            "seconds": time.perf_counter() - self.started,
            "calls": self.calls if self.section.measure == "calls" else None,
            "losses": [float(loss) for loss in self.losses],
        }
        Path(self.section.report).write_text(json.dumps(report))

    def _count(self, frame: Any, event: str, argument: Any) -> None:
        self.calls += event == "call"
