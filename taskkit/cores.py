"""How many cores of this machine nothing else keeps busy."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import cache

import psutil

SHORTEST, LONGEST = 0.5, 60.0
"""Seconds: what was seen for less says little, and for more, of what has long ended."""
SAMPLE = 0.25
"""Seconds that are looked at where no others can be."""


@dataclass(frozen=True)
class Reading:
    """What clocks of the machine said at one moment, in seconds."""

    at: float
    idle: float
    """That the cores of this process did nothing, all together."""
    own: float
    """That this process and those that it started computed."""


def usable() -> set[int]:
    """The numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def read() -> Reading:
    """Read the clocks."""
    times = psutil.cpu_times(percpu=True)
    idle = sum(times[core].idle + getattr(times[core], "iowait", 0.0) for core in usable() if core < len(times))
    return Reading(time.monotonic(), idle, sum(os.times()[:4]))


def between(one: Reading, other: Reading) -> float:
    """How many cores were free between two readings; what this process used counts as free."""
    return (other.idle - one.idle + other.own - one.own) / (other.at - one.at)


@cache
def begun() -> Reading:
    """The first reading of this process: before torch is imported, which takes seconds in which others can be seen."""
    return read()


def free() -> float:
    """How many cores are free: since the first reading, or in a quarter of a second where that is long ago."""
    first, now = begun(), read()
    if SHORTEST <= now.at - first.at <= LONGEST:
        return between(first, now)
    time.sleep(SAMPLE)
    return between(now, read())
