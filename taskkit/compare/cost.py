"""What methods cost, beside how good they are, and which of them none other beats in both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from taskkit.compare.reading import Tested
from taskkit.runs.manifest import Manifest


@dataclass(frozen=True)
class Costs:
    """Of a method, as means over its seeds; None: not measured in each of them."""

    parameters: float | None = None
    train_seconds: float | None = None
    latency_ms: float | None = None
    examples_per_second: float | None = None
    """Of inference, in batches."""
    peak_memory_bytes: float | None = None
    machine: str = ""
    """Where its times were measured; those of several machines are not comparable. Empty: on more than one."""


AXES: Mapping[str, Callable[[Costs], float | None]] = {
    "parameters": lambda costs: costs.parameters,
    "training time": lambda costs: costs.train_seconds,
    "latency": lambda costs: costs.latency_ms,
}
"""The costs by which a front is drawn, by name."""
TIMES = ("training time", "latency")


def costs_of(runs: Sequence[Tested]) -> Costs:
    """What the runs of a method cost."""
    every = [run.manifest.cost for run in runs]
    answers = [cost.inference for cost in every]
    machines = {machine(run.manifest) for run in runs}
    return Costs(
        parameters=_mean(cost.parameters for cost in every),
        train_seconds=_mean(cost.train_seconds for cost in every),
        latency_ms=_mean(None if answer is None else answer.latency_ms for answer in answers),
        examples_per_second=_mean(None if answer is None else answer.examples_per_second for answer in answers),
        peak_memory_bytes=_mean(cost.peak_memory_bytes for cost in every),
        machine=machines.pop() if len(machines) == 1 else "",
    )


def machine(manifest: Manifest) -> str:
    """The device that a run was made on, in words."""
    there = manifest.environment
    device = there.get("device") or "unknown device"
    if device != "cpu":
        return str(device)
    return f"{there.get('cpu') or 'unknown CPU'}, {there.get('threads', 'unknown')} threads"


def front(values: Sequence[float], costs: Sequence[float | None]) -> list[int]:
    """The places of those that none other beats in value (larger is better) and cost without losing in the other."""
    every = enumerate(zip(values, costs, strict=True))
    known = [(place, value, cost) for place, (value, cost) in every if cost is not None]
    return [
        place
        for place, value, cost in known
        if not any(v >= value and c <= cost and (v, c) != (value, cost) for _, v, c in known)
    ]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [*values]
    there = [value for value in known if value is not None]
    return sum(there) / len(there) if there and len(there) == len(known) else None
