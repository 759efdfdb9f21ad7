"""How far two runs are apart that should be alike: their weights, their lines of metrics, their test metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from taskkit.apart import Difference, largest, of_numbers, of_states
from taskkit.loaded_run import LoadedRun
from taskkit.runs import checkpoint

CLOCK = ("seconds", "examples_per_second", "units_per_second")
"""What in a line of metrics depends on the clock."""


def of_runs(one: LoadedRun, other: LoadedRun) -> dict[str, Difference]:
    """How far the last weights, the logged lines and the test metrics of two runs are apart."""
    return {
        "weights": of_states(last_weights(one.path), last_weights(other.path)),
        "logged lines": of_lines(one.history(), other.history()),
        "test metrics": of_numbers(one.metrics, other.metrics),
    }


def of_lines(
    one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]], *, relative: bool = False
) -> Difference:
    """How far the lines of two metrics.jsonl are apart, without what depends on the clock."""
    if len(one) != len(other):
        return Difference(math.inf, f"{len(one)} lines and {len(other)}")
    found = []
    for mine, theirs in zip(one, other, strict=True):
        apart = of_numbers(_timeless(mine), _timeless(theirs), relative=relative)
        found.append(Difference(apart.size, f"{apart.where} at step {mine.get('step')}" if apart.size else ""))
    return largest(found)


def last_weights(run: Path) -> dict[str, Any]:
    """The last state of a run by name, tensors of any shapes and plain data; raises CheckpointError without any."""
    return checkpoint.read(run / "checkpoints" / "last.ckpt").state


def _timeless(line: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in line.items() if name not in CLOCK}
