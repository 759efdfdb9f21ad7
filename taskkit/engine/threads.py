"""How many threads torch computes with: on a CPU that others use too, threads that wait for each other slow it down."""

from __future__ import annotations

import os

import torch

from taskkit import cores
from taskkit.contracts.recipe import TrainerSection


def set_threads(section: TrainerSection, recorded: int | None) -> str:
    """Let torch compute with as many threads as `trainer.threads` says, a run had before, or cores are free.

    `OMP_NUM_THREADS` is heeded as torch heeds it; where several processes train, or a GPU does, all stays as it is.
    Returns why there are fewer than cores, if there are.
    """
    if section.threads is not None:
        torch.set_num_threads(section.threads)
        return ""
    if "OMP_NUM_THREADS" in os.environ or section.devices != 1 or section.num_nodes > 1 or not _on_cpu(section):
        return ""
    if recorded is not None:
        torch.set_num_threads(recorded)
        return ""
    usable, free = len(cores.usable()), cores.free()
    number = chosen(free, usable)
    torch.set_num_threads(number)
    if number == usable:
        return ""
    free = max(free, 0.0)
    return f"computes with {number} of {usable} threads: {free:.1f} cores are free (trainer.threads sets how many)"


def chosen(free: float, usable: int) -> int:
    """The threads for so many free cores."""
    return min(usable, max(1, int(free + 0.5)))


def _on_cpu(section: TrainerSection) -> bool:
    return section.accelerator == "cpu" or (section.accelerator == "auto" and not torch.accelerator.is_available())
