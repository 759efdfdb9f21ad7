"""The largest difference between two things that should be alike, and where it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from taskkit.loaded_run import LoadedRun
from taskkit.runs import checkpoint

CLOCK = ("seconds", "examples_per_second", "units_per_second")
"""What in a line of metrics depends on the clock."""


@dataclass(frozen=True)
class Difference:
    """How far two things are apart; infinite where one lacks what the other has."""

    size: float = 0.0
    where: str = ""


def largest(differences: Iterable[Difference]) -> Difference:
    """The largest of some differences; none at all when there are none."""
    return max(differences, key=lambda each: each.size, default=Difference())


def of_numbers(one: Mapping[str, float], other: Mapping[str, float], *, relative: bool = False) -> Difference:
    """How far numbers of the same names are apart; relative: as shares of the larger one, or of 1 if that is larger."""
    apart = [Difference(math.inf, name) for name in one.keys() ^ other.keys()]
    return largest([*apart, *(_of_pair(name, one[name], other[name], relative) for name in one.keys() & other.keys())])


def of_tensors(one: Mapping[str, Tensor], other: Mapping[str, Tensor], scale: float = 1.0) -> Difference:
    """How far tensors of the same names and shapes are apart at most, in units of `scale`."""
    apart = [Difference(math.inf, name) for name in one.keys() ^ other.keys()]
    return largest([*apart, *(_of_tensor(name, one[name], other[name], scale) for name in one.keys() & other.keys())])


def of_runs(one: LoadedRun, other: LoadedRun) -> dict[str, Difference]:
    """How far the last weights, the logged lines and the test metrics of two runs are apart."""
    return {
        "weights": of_tensors(last_weights(one.path), last_weights(other.path)),
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


def last_weights(run: Path) -> dict[str, Tensor]:
    """The last weights of a run by name, of any shapes; raises CheckpointError when there are none."""
    return checkpoint.read(run / "checkpoints" / "last.ckpt").state


def _timeless(line: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in line.items() if name not in CLOCK}


def _of_pair(name: str, one: float, other: float, relative: bool) -> Difference:
    if one == other or (math.isnan(one) and math.isnan(other)):
        return Difference()
    apart = abs(one - other) / (max(abs(one), abs(other), 1.0) if relative else 1.0)
    return Difference(math.inf if math.isnan(apart) else apart, name)


def _of_tensor(name: str, one: Tensor, other: Tensor, scale: float) -> Difference:
    if one.shape != other.shape:
        return Difference(math.inf, name)
    if torch.equal(one, other) or one.numel() == 0:
        return Difference()
    apart = float((one.double() - other.double()).abs().max()) / scale
    # NaN is like NaN, and unlike all numbers; bits may differ where numbers do not, as 0 and -0.
    alike = bool(((one == other) | ((one != one) & (other != other))).all())
    return Difference(0.0 if alike else math.inf if math.isnan(apart) else apart, name)
