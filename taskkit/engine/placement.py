"""Where and how precisely a task is asked, without a Trainer: importing one takes longer than most answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from taskkit import cores
from taskkit.contracts.recipe import Recipe, TrackersSection, TrainerSection
from taskkit.errors import TaskkitError

_TRUE = {"64-true": torch.float64, "32-true": torch.float32, "bf16-true": torch.bfloat16, "16-true": torch.float16}
_MIXED = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class Place(NamedTuple):
    """A device, and what is put around each answer for its precision."""

    device: torch.device
    autocast: Callable[[], AbstractContextManager[Any]]


def place(section: TrainerSection, task: nn.Module, number: int = 0) -> Place:
    """One device, here, in the precision of a recipe, for whose parameters the task is changed in place.

    `number` says which, where there are several of the kind.
    """
    section = alone(section)
    device, name = _devices(section.accelerator)[number], precision(section.precision, section.accelerator)
    if name in _MIXED:
        # A CPU computes no float16.
        kind = torch.bfloat16 if device.type == "cpu" else _MIXED[name]
        return Place(device, lambda: torch.autocast(device.type, kind))
    if name not in _TRUE:
        from lightning_fabric import Fabric  # with the libraries that such a precision has of its own

        fabric = Fabric(accelerator=section.accelerator, devices=[number] if number else 1, precision=cast(Any, name))
        fabric.strategy.precision.convert_module(task)
        return Place(fabric.device, fabric.autocast)
    task.to(_TRUE[name])
    return Place(device, partial(_default, _TRUE[name]))


@contextmanager
def _default(kind: torch.dtype) -> Iterator[None]:
    """Let new tensors be as the parameters are meanwhile."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(kind)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def precision(wanted: str, accelerator: str) -> str:
    """Lightning's name of the precision: `auto` is bf16-mixed where the device computes it natively, else 32-true."""
    if wanted != "auto":
        return wanted
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    if accelerator == "cpu" or not torch.backends.mps.is_available():
        able = torch.cpu.get_capabilities()
        return "bf16-mixed" if able.get("avx512_bf16") or able.get("amx_bf16") or able.get("bf16") else "32-true"
    return "32-true"


def alone(trainer: TrainerSection) -> TrainerSection:
    """The settings on one device, here: the machine that a run is asked on need not be like the one that trained it."""
    accelerator: Any = "cpu" if trainer.accelerator == "cpu" else "auto"
    one = replace(trainer, accelerator=accelerator, devices=1, num_nodes=1, strategy="auto")
    return replace(one, limit_test_batches=1.0)


def trained_alone(recipe: Recipe) -> Recipe:
    """The recipe on one device, trained and no more: a stretch of training that is watched; nothing tracks it."""
    trainer = replace(alone(recipe.trainer), limit_val_batches=0, limit_test_batches=0, check_val_every_n_epoch=1)
    return replace(recipe, trainer=trainer, trackers=TrackersSection(), early_stopping=None)


def share(section: TrainerSection, number: int, of: int) -> int:
    """The number of the device for one of so many processes; on a CPU each computes with its share of the threads."""
    found = _devices(alone(section).accelerator)
    if found[0].type == "cpu":
        torch.set_num_threads(max(1, torch.get_num_threads() // of))
        return 0
    return number


def check_devices(section: TrainerSection, wanted: int) -> None:
    """Raise TaskkitError where there are not so many devices, or cores of a CPU."""
    found = _devices(alone(section).accelerator)
    there = len(cores.usable()) if found[0].type == "cpu" else len(found)
    if wanted > there:
        what = "cores of the CPU" if found[0].type == "cpu" else f"devices of {found[0].type}"
        raise TaskkitError(f"devices={wanted}: this machine has {there} {what}. At most so many were expected.")


def _devices(accelerator: str) -> list[torch.device]:
    """The devices that a recipe's accelerator has here, of one kind; the CPU is one."""
    if accelerator != "cpu":
        if torch.cuda.is_available():
            return [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
        if torch.backends.mps.is_available():
            return [torch.device("mps", 0)]
    return [torch.device("cpu")]
