"""Optimisers and schedules from a recipe's `optim` section."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import partial
from importlib.metadata import version
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from taskkit.contracts.recipe import Optim
from taskkit.errors import TaskkitError


def configure(
    module: pl.LightningModule,
    *,
    section: Optim,
    network: nn.Module,
    blocks: Sequence[nn.Module],
    batches: Callable[[], int],
) -> dict[str, Any] | None:
    """Make the optimiser and its schedule over all of the trainer's steps, as Lightning takes them.

    `batches` says how many an epoch has, once the loaders are placed.
    """
    groups = parameter_groups(section, network, blocks)
    if not groups:
        return None  # a network without weights, such as a list of what is popular
    # In fp16 a fused optimiser undoes the scaling of gradients itself, too late for them to be clipped.
    scaled = str(module.trainer.precision).startswith("16") and module.trainer.gradient_clip_val is not None
    optimiser = make_optimiser(section, groups, fused=not scaled)
    total = total_steps(module.trainer, batches())
    schedule = LambdaLR(optimiser, partial(factor, section=section, total=total))
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def total_steps(trainer: pl.Trainer, batches: int) -> int:
    """The optimiser steps of a whole run whose epochs have so many batches.

    Lightning's `estimated_stepping_batches` would set the loaders up before a checkpoint gives them their state.
    """
    limit = trainer.limit_train_batches
    used = min(batches, limit) if isinstance(limit, int) else int(batches * (1.0 if limit is None else limit))
    by_epochs = math.ceil(used / trainer.accumulate_grad_batches) * (trainer.max_epochs or 0)
    limits = [n for n in (by_epochs if trainer.max_epochs != -1 else -1, trainer.max_steps) if n != -1]
    return max(1, min(limits))


def factor(step: int, *, section: Optim, total: int) -> float:
    """The learning rate at a step, as a share of its peak: linear warm-up, hold, then the schedule down to `min_lr`.

    With `exponential` this is the tri-stage rate of wav2vec 2.0 (Baevski et al., 2020).
    """
    warmup, hold = (n * total if n < 1 else n for n in (section.warmup, section.hold))
    if step < warmup:
        return (step + 1) / (math.floor(warmup) + 1)
    done = max(0.0, min(1.0, (step - warmup - hold) / max(1.0, total - warmup - hold)))
    if section.schedule == "exponential":
        return float(section.min_lr**done)
    fall = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1.0 + math.cos(math.pi * done))}
    return section.min_lr + (1.0 - section.min_lr) * fall[section.schedule]


def parameter_groups(section: Optim, network: nn.Module, blocks: Sequence[nn.Module]) -> list[dict[str, Any]]:
    """Group parameters by weight decay and by depth.

    Matrices and kernels decay; vectors (biases, norms) do not. With layer decay the last block and what comes after
    it have the full rate, each block before it `layer_decay` times the next, and what precedes the first block one
    factor less. Raises TaskkitError when the network does not say what its blocks are.
    """
    if section.layer_decay < 1 and not blocks:
        raise TaskkitError(
            f"optim.layer_decay is {section.layer_decay}, but this model does not say what its blocks are. Set it to 1."
        )
    depth = _depths(network, blocks)
    groups: dict[tuple[bool, int], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        groups.setdefault((parameter.ndim > 1, depth[name]), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": section.lr * section.layer_decay ** (len(blocks) - at),
            "weight_decay": section.weight_decay if decays else 0.0,
        }
        for (decays, at), parameters in groups.items()
    ]


def _depths(network: nn.Module, blocks: Sequence[nn.Module]) -> dict[str, int]:
    """The depth of each parameter: 0 before the first block, then the number of its block; after the last: its."""
    number = {id(p): i for i, block in enumerate(blocks, 1) for p in block.parameters()}
    depths, seen = {}, False
    for name, parameter in network.named_parameters():
        seen = seen or id(parameter) in number
        depths[name] = number.get(id(parameter), len(blocks) if seen else 0)
    return depths


def make_optimiser(section: Optim, groups: Sequence[Mapping[str, Any]], *, fused: bool = True) -> Optimizer:
    """Make the named optimiser of torch.optim, fused where wanted and torch has that for the parameters' device.

    Raises TaskkitError for a name or an argument that torch does not have.
    """
    names = {n.lower(): n for n, v in vars(torch.optim).items() if isinstance(v, type) and issubclass(v, Optimizer)}
    if section.name.lower() not in names or section.name.lower() == "optimizer":
        near = get_close_matches(section.name.lower(), names, n=1)
        raise TaskkitError(
            f"optim.name: torch.optim has no {section.name!r}."
            + (f" Did you mean {near[0]!r}?" if near else f" It has {', '.join(sorted(names))}.")
        )
    make = getattr(torch.optim, names[section.name.lower()])
    known = inspect.signature(make).parameters
    ours = {"lr": section.lr, "weight_decay": section.weight_decay, "betas": tuple(section.betas)}
    if section.name.lower() == "sgd":
        ours["momentum"] = section.momentum
    arguments = {k: v for k, v in ours.items() if k in known}
    if unknown := sorted(set(section.options) - set(known)):
        near = get_close_matches(unknown[0], known, n=1)
        raise TaskkitError(
            f"optim.options.{unknown[0]}: torch.optim.{make.__name__} takes no such argument."
            + (f" Did you mean {near[0]!r}?" if near else f" It takes {', '.join(known)}.")
        )
    devices = {p.device.type for group in groups for p in group["params"]}
    if fused and "fused" in known and devices <= {"cpu", "cuda"}:
        arguments["fused"] = True
    optimiser: Optimizer = make([dict(g) for g in groups], **{**arguments, **section.options})
    return optimiser


class Freeze(pl.Callback):
    """Keep the parameters that match a pattern fixed, each pattern until a step or for the whole run.

    A frozen parameter has no gradient, so the optimiser passes it by. Where several processes train, gradients are
    computed and dropped instead: their reducer must know all parameters from the start. Raises TaskkitError for a
    pattern that matches nothing.
    """

    def __init__(self, patterns: Mapping[str, int | None], network: nn.Module) -> None:
        self.frozen: dict[str, tuple[int | None, list[nn.Parameter]]] = {}
        names = dict(network.named_parameters())
        for pattern, until in patterns.items():
            found = [p for name, p in names.items() if fnmatchcase(name, pattern)]
            if not found:
                near = get_close_matches(pattern, names, n=1, cutoff=0.3) or list(names)[:1]
                raise TaskkitError(
                    f"optim.freeze: no parameter of the network matches {pattern!r}. Parameters are named like "
                    f"{near[0]!r}; `*` matches any part of a name."
                )
            # What the model itself keeps fixed, as under adapters, is not ours to free.
            self.frozen[pattern] = (until, [parameter for parameter in found if parameter.requires_grad])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Freeze, except what a resumed run has already freed."""
        self._drop = trainer.world_size > 1
        self._apply(trainer.global_step)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, i: int) -> None:
        """Free what is due."""
        if any(until == trainer.global_step for until, _ in self.frozen.values()):
            self._apply(trainer.global_step)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Drop the gradients of what is frozen, where several processes train."""
        if self._drop:
            for parameter in self._fixed(trainer.global_step):
                parameter.grad = None

    def _fixed(self, step: int) -> list[nn.Parameter]:
        return [p for until, ps in self.frozen.values() if until is None or step < until for p in ps]

    def _apply(self, step: int) -> None:
        if self._drop:
            return
        fixed = {id(p) for p in self._fixed(step)}
        for _, parameters in self.frozen.values():
            for parameter in parameters:
                parameter.requires_grad_(id(parameter) not in fixed)


def moving_average(decay: float) -> pl.Callback:
    """Lightning's exponential moving average of the weights; raises TaskkitError when this Lightning has none."""
    try:
        from pytorch_lightning.callbacks import EMAWeightAveraging
    except ImportError:
        raise TaskkitError(
            f"optim.ema needs pytorch-lightning 2.6 or later; {version('pytorch-lightning')} is installed. "
            "Upgrade it, or set optim.ema to null."
        ) from None
    return EMAWeightAveraging(decay=decay)
