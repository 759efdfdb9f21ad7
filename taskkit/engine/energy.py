"""The energy that training draws, as counters of the machine say it: RAPL's of processors, NVML's of devices."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytorch_lightning as pl
import torch

from taskkit.runs.manifest import Energy

RAPL = Path("/sys/class/powercap")
OFTEN = 20.0
"""Seconds after which counters are read again: RAPL's begin anew after some minutes under load."""


class Unmetered(Exception):
    """Nothing counts the energy, or it cannot be read; says why."""


@dataclass(frozen=True)
class Counter:
    """Something that counts the energy of one part."""

    part: str
    joules: float
    """Of one count."""
    read: Callable[[], int]
    """Raises Unmetered where it cannot."""
    turns: int | None = None
    """After how many counts it begins at 0 again; None: it does not."""

    def between(self, before: int, after: int) -> float:
        """The joules from one reading to the next; raises Unmetered where it was set back."""
        counts = after - before
        if counts < 0:
            if self.turns is None:
                raise Unmetered(f"the counter of {self.part} was set back during the training")
            counts += self.turns
        return counts * self.joules


@dataclass(frozen=True)
class EnergyMeter:
    """All counters of one kind that tell what a training draws."""

    kind: str
    counters: tuple[Counter, ...]
    scope: str
    """What else they count."""


class Consumption:
    """Joules of a training, without what was drawn while it was stopped.

    `earlier` is what was counted before the run went on. Where another meter counted it, or none, there is no sum.
    """

    def __init__(self, find: Callable[[], EnergyMeter], earlier: Energy | None) -> None:
        self._meter: EnergyMeter | None = None
        self._last: list[int] | None = None
        self._read_at = 0.0
        try:
            self._meter = meter = find()
            self._found = Energy(0.0, meter.kind, tuple(each.part for each in meter.counters), meter.scope)
        except Unmetered as error:
            self._found = Energy(None, note=str(error))
        if earlier is not None:
            self._go_on_from(earlier)

    @property
    def energy(self) -> Energy:
        """What was counted so far."""
        self.read()
        return self._found

    def start(self) -> None:
        """Count from here."""
        self._last = self._counts()
        self._read_at = time.monotonic()

    def stop(self) -> None:
        """Count no further until it is started again."""
        self.read()
        self._last = None

    def read_often(self) -> None:
        """Read the counters where that was long ago, before they begin anew."""
        if time.monotonic() - self._read_at > OFTEN:
            self.read()

    def read(self) -> None:
        """Add what was drawn since the counters were last read."""
        last, self._last = self._last, self._counts() if self._last is not None else None
        self._read_at = time.monotonic()
        if last is None or self._last is None or self._meter is None or self._found.joules is None:
            return
        counters = zip(self._meter.counters, last, self._last, strict=True)
        try:
            drawn = sum(counter.between(before, after) for counter, before, after in counters)
        except Unmetered as error:
            self._lose(str(error))
            return
        self._found = replace(self._found, joules=self._found.joules + drawn)

    def _counts(self) -> list[int] | None:
        if self._meter is None:
            return None
        try:
            return [counter.read() for counter in self._meter.counters]
        except Unmetered as error:
            self._lose(str(error))
            return None

    def _lose(self, why: str) -> None:
        self._meter, self._found = None, Energy(None, note=why)

    def _go_on_from(self, earlier: Energy) -> None:
        if earlier.joules is None:
            self._lose(f"not measured before the run went on: {earlier.note}")
        elif self._found.joules is None:
            self._lose(f"not measured since the run went on: {self._found.note}")
        elif (earlier.meter, earlier.parts) != (self._found.meter, self._found.parts):
            self._lose("measured by another meter before the run went on")
        else:
            self._found = replace(self._found, joules=earlier.joules)


def of_trainer(trainer: pl.Trainer) -> EnergyMeter:
    """The meter of the devices that a Trainer uses; the first process reads it for all on its machine.

    Raises Unmetered where there is none.
    """
    if trainer.num_nodes > 1:
        raise Unmetered("several machines trained, and a meter counts one")
    if not trainer.is_global_zero:
        raise Unmetered("the first process measures")
    device = trainer.strategy.root_device
    if device.type == "cpu":
        return rapl(RAPL)
    if device.type == "cuda":
        return nvml([torch.device("cuda", number) for number in trainer.device_ids])
    raise Unmetered(f"no meter of {device.type} is known")


def rapl(root: Path) -> EnergyMeter:
    """The counters of all packages and of the memory beside them; raises Unmetered where they cannot be read.

    Cores are part of a package, and the platform (psys) holds the packages: neither is counted twice.
    """
    try:
        names = {zone: (zone / "name").read_text().strip() for zone in sorted(root.glob("intel-rapl:*"))}
        counted = {zone: name for zone, name in names.items() if name.startswith("package") or name == "dram"}
        counters = tuple(
            Counter(f"{name} ({zone.name})", 1e-6, _reading(zone / "energy_uj"), _whole(zone / "max_energy_range_uj"))
            for zone, name in counted.items()
        )
        for counter in counters:
            counter.read()
    except (OSError, ValueError) as error:
        raise Unmetered(f"RAPL cannot be read, often by root alone: {error}") from error
    if not counters:
        raise Unmetered(f"there is no counter of RAPL in {root}")
    return EnergyMeter("RAPL", counters, "the whole of these parts, other processes included")


def nvml(devices: Sequence[torch.device]) -> EnergyMeter:
    """The counters of CUDA devices since their driver was loaded; raises Unmetered where they cannot be read."""
    try:
        import pynvml
    except ImportError as error:
        raise Unmetered("NVML is read by nvidia-ml-py: pip install 'taskkit-ml[energy]'") from error

    def counter(device: torch.device) -> Counter:
        there = torch.cuda.get_device_properties(device)
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{there.uuid}")

        def read() -> int:
            try:
                return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
            except pynvml.NVMLError as error:
                raise Unmetered(f"NVML: {error}") from error

        read()
        return Counter(f"{there.name} ({device})", 1e-3, read)

    try:
        pynvml.nvmlInit()
        counters = tuple(map(counter, devices))
    except pynvml.NVMLError as error:
        raise Unmetered(f"NVML: {error}") from error
    return EnergyMeter("NVML", counters, "the whole of these devices, other processes included")


def _reading(path: Path) -> Callable[[], int]:
    def read() -> int:
        try:
            return _whole(path)
        except (OSError, ValueError) as error:
            raise Unmetered(f"RAPL cannot be read, often by root alone: {error}") from error

    return read


def _whole(path: Path) -> int:
    return int(path.read_text())
