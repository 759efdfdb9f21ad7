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
    energy_joules: float | None = None
    """Of training; None, too, where several meters counted it."""
    energy_meter: str = ""
    """Which counters say so, and of which parts; empty: none, or several."""
    machine: str = ""
    """Where its times were measured; those of several machines are not comparable. Empty: on more than one."""


AXES: Mapping[str, Callable[[Costs], float | None]] = {
    "parameters": lambda costs: costs.parameters,
    "training time": lambda costs: costs.train_seconds,
    "latency": lambda costs: costs.latency_ms,
    "energy": lambda costs: costs.energy_joules,
}
"""The costs by which a front is drawn, by name."""
OF_MACHINE = ("training time", "latency", "energy")
"""Those that are of the machine too."""


def costs_of(runs: Sequence[Tested]) -> Costs:
    """What the runs of a method cost."""
    every = [run.manifest.cost for run in runs]
    answers = [cost.inference for cost in every]
    machines = {machine(run.manifest) for run in runs}
    meters = {meter(run.manifest) for run in runs}
    drawn = _mean(None if cost.energy is None else cost.energy.joules for cost in every)
    return Costs(
        parameters=_mean(cost.parameters for cost in every),
        train_seconds=_mean(cost.train_seconds for cost in every),
        latency_ms=_mean(None if answer is None else answer.latency_ms for answer in answers),
        examples_per_second=_mean(None if answer is None else answer.examples_per_second for answer in answers),
        peak_memory_bytes=_mean(cost.peak_memory_bytes for cost in every),
        energy_joules=drawn if len(meters) == 1 else None,
        energy_meter=meters.pop() if len(meters) == 1 else "",
        machine=machines.pop() if len(machines) == 1 else "",
    )


def machine(manifest: Manifest) -> str:
    """The device that a run was made on, in words."""
    there = manifest.environment
    device = there.get("device") or "unknown device"
    if device != "cpu":
        return str(device)
    return f"{there.get('cpu') or 'unknown CPU'}, {there.get('threads', 'unknown')} threads"


def meter(manifest: Manifest) -> str:
    """What counted the energy of a run's training, and of which parts; empty: nothing did."""
    energy = manifest.cost.energy
    return "" if energy is None or energy.joules is None else f"{energy.meter}: {', '.join(energy.parts)}"


def metered(costs: Sequence[Costs]) -> bool:
    """Whether the energy of all is known, and by one meter."""
    return len({each.energy_meter for each in costs}) == 1 and all(each.energy_joules is not None for each in costs)


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
