"""Optimisers and schedules from a recipe's `optim` section."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from importlib.metadata import version
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from taskkit.contracts.recipe import OptimSection
from taskkit.contracts.task import Task
from taskkit.engine.fsdp import FullyShard, share_alike
from taskkit.engine.overflow import Skipped
from taskkit.errors import TaskkitError
from taskkit.wording import did_you_mean, nearest

log = logging.getLogger("taskkit")


def configure(
    module: pl.LightningModule,
    *,
    section: OptimSection,
    task: Task,
    blocks: Callable[[nn.Module], Sequence[nn.Module]],
    batches: Callable[[], int | None],
) -> Any:
    """Make the optimisers and their schedules over all of the trainer's steps, as Lightning takes them.

    A task of several phases has one for each. `blocks` gives those of the network, whose parameters are others once
    they are shared out among processes. `batches` gives how many an epoch has, once the loaders are placed; None:
    nobody knows, as of a stream.
    """
    # In fp16 gradients are scaled, and a fused optimiser undoes that itself: too late to clip or weigh them.
    fused = not str(module.trainer.precision).startswith("16")
    total = total_steps(module.trainer, batches())
    _tell_short_epochs(module.trainer, batches())
    if module.trainer.max_epochs != 0:
        _refuse_no_time(section, total)
    if task.phases:
        made = [
            _scheduled(of_phase(section, phase), phase_groups(section, task, phase), total, fused=fused)
            for phase in task.phases
        ]
        return [each["optimizer"] for each in made], [each["lr_scheduler"] for each in made]
    groups = parameter_groups(section, task.network, blocks(task.network), own_parameters(task))
    # A network may have no weights, such as a list of what is popular.
    return _scheduled(section, groups, total, fused=fused) if groups else None


def _refuse_no_time(section: OptimSection, total: int) -> None:
    """Raise TaskkitError where the rate would still be rising, or be held, when training ends."""
    for name, steps in (("warmup", section.warmup), ("hold", section.hold)):
        if steps >= 1 and steps >= total:
            raise TaskkitError(
                f"optim.{name} is {steps:g} steps, but training ends after {total:,}. Expected fewer. Write a share of "
                "all steps, such as 0.1."
            )


def _tell_short_epochs(trainer: pl.Trainer, batches: int | None) -> None:
    """Say so where no epoch has the batches of a whole optimiser step."""
    wanted = trainer.accumulate_grad_batches
    if batches is not None and 0 < (used := _used(trainer, batches)) < wanted:
        log.warning(
            "trainer.accumulate_grad_batches is %d, and an epoch has %d batches: each optimiser step is over these",
            wanted,
            used,
        )


def _scheduled(
    section: OptimSection, groups: Sequence[Mapping[str, Any]], total: int, *, fused: bool
) -> dict[str, Any]:
    optimiser = make_optimiser(section, groups, fused=fused)
    schedule = LambdaLR(optimiser, partial(factor, section=section, total=total))
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def of_phase(section: OptimSection, phase: str) -> OptimSection:
    """The settings of a phase's optimiser: those of all, with what it has of its own."""
    own = section.phases.get(phase)
    given = {} if own is None else {name: value for name, value in vars(own).items() if value is not None}
    return replace(section, **given)


def phase_groups(section: OptimSection, task: Task, phase: str) -> list[dict[str, Any]]:
    """The parameters of the network's submodule of this name; raises TaskkitError when some belong to no phase."""
    if unknown := sorted(set(section.phases) - set(task.phases)):
        raise TaskkitError(
            f"optim.phases.{unknown[0]}: {type(task).__name__} has no such phase."
            f"{did_you_mean(unknown[0], task.phases)} It has {', '.join(task.phases)}."
        )
    trained = {id(p) for each in task.phases for p in task.network.get_submodule(each).parameters()}
    if left := [name for name, p in task.named_parameters() if p.requires_grad and id(p) not in trained]:
        raise TaskkitError(
            f"{type(task).__name__}: the parameter {left[0]} belongs to none of its phases {', '.join(task.phases)}, "
            "so nothing would train it. Each was expected in the network's submodule of a phase's name."
        )
    return _groups(of_phase(section, phase), task.network.get_submodule(phase).named_parameters(), lambda _: 0, depth=0)


def total_steps(trainer: pl.Trainer, batches: int | None) -> int:
    """The optimiser steps of a whole run whose epochs have so many batches; None: as many as `max_steps` wants.

    Lightning's `estimated_stepping_batches` would set the loaders up before a checkpoint gives them their state.
    """
    if batches is None:
        return max(1, trainer.max_steps)
    used = _used(trainer, batches)
    by_epochs = math.ceil(used / trainer.accumulate_grad_batches) * (trainer.max_epochs or 0)
    limits = [n for n in (by_epochs if trainer.max_epochs != -1 else -1, trainer.max_steps) if n != -1]
    return max(1, min(limits))


def batches_of_steps(trainer: pl.Trainer, batches: int | None, steps: int) -> int:
    """On how many batches so many optimiser steps are taken; the last step of an epoch may have fewer than others."""
    each = trainer.accumulate_grad_batches
    if batches is None:
        return steps * each
    used = _used(trainer, batches)
    epochs, rest = divmod(steps, max(1, math.ceil(used / each)))
    return epochs * used + rest * each


def _used(trainer: pl.Trainer, batches: int) -> int:
    limit = trainer.limit_train_batches
    return min(batches, limit) if isinstance(limit, int) else int(batches * (1.0 if limit is None else limit))


def factor(step: int, *, section: OptimSection, total: int) -> float:
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


def parameter_groups(
    section: OptimSection,
    network: nn.Module,
    blocks: Sequence[nn.Module],
    own: Mapping[str, nn.Parameter] | None = None,
) -> list[dict[str, Any]]:
    """Group the parameters of the network, and the task's `own`, by weight decay and by depth.

    Matrices and kernels decay; vectors (biases, norms) do not. With layer decay the last block and what comes after
    it have the full rate, the task's own parameters among it, each block before it `layer_decay` times the next, and
    what precedes the first block one factor less. Raises TaskkitError when the model does not give its blocks.
    """
    if section.layer_decay < 1 and not blocks:
        raise TaskkitError(
            f"optim.layer_decay is {section.layer_decay}, but this model does not say what its blocks are. Set it to 1."
        )
    depths = _depths(network, blocks)
    named = [*network.named_parameters(), *(own or {}).items()]
    return _groups(section, named, lambda name: depths.get(name, len(blocks)), depth=len(blocks))


def own_parameters(task: Task) -> dict[str, nn.Parameter]:
    """The parameters of the task that its network has not, as `task.…`."""
    return {f"task.{name}": p for name, p in task.named_parameters() if not name.startswith("network.")}


def named_parameters(task: Task) -> dict[str, nn.Parameter]:
    """All parameters that are trained with a task: those of its network by the names there, its own as `task.…`."""
    return {**dict(task.network.named_parameters()), **own_parameters(task)}


def _groups(
    section: OptimSection,
    named: Iterable[tuple[str, nn.Parameter]],
    depth_of: Callable[[str], int],
    depth: int,
) -> list[dict[str, Any]]:
    groups: dict[tuple[bool, int], list[nn.Parameter]] = {}
    for name, parameter in named:
        groups.setdefault((parameter.ndim > 1, depth_of(name)), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": section.lr * section.layer_decay ** (depth - at),
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


def make_optimiser(section: OptimSection, groups: Sequence[Mapping[str, Any]], *, fused: bool = True) -> Optimizer:
    """Make the named optimiser of torch.optim, fused where wanted and torch has that for the parameters' device.

    Raises TaskkitError for a name or an argument that torch does not have.
    """
    names = {n.lower(): n for n, v in vars(torch.optim).items() if isinstance(v, type) and issubclass(v, Optimizer)}
    if section.name.lower() not in names or section.name.lower() == "optimizer":
        near = did_you_mean(section.name, names) or f" It has {', '.join(sorted(names))}."
        raise TaskkitError(f"optim.name: torch.optim has no {section.name!r}.{near}")
    make = getattr(torch.optim, names[section.name.lower()])
    known = inspect.signature(make).parameters
    ours = {"lr": section.lr, "weight_decay": section.weight_decay, "betas": tuple(section.betas)}
    if section.name.lower() == "sgd":
        ours["momentum"] = section.momentum
    arguments = {k: v for k, v in ours.items() if k in known}
    if unknown := sorted(set(section.options) - set(known)):
        near = did_you_mean(unknown[0], known) or f" It takes {', '.join(known)}."
        raise TaskkitError(f"optim.options.{unknown[0]}: torch.optim.{make.__name__} takes no such argument.{near}")
    parameters = [p for group in groups for p in group["params"]]
    # Of shares torch takes fused steps by Adam alone.
    fused = fused and (make.__name__ in ("Adam", "AdamW") or not any(isinstance(p, DTensor) for p in parameters))
    if fused and "fused" in known and {p.device.type for p in parameters} <= {"cpu", "cuda"}:
        arguments["fused"] = True
    try:
        optimiser: Optimizer = make([dict(g) for g in groups], **{**arguments, **section.options})
    except (TypeError, ValueError, RuntimeError) as error:
        raise TaskkitError(
            f"optim: torch.optim.{make.__name__} refuses these settings or parameters ({error}). Change optim.name, or "
            f"{'optim.options' if section.options else 'the setting that it names'}."
        ) from error
    return optimiser


class Freeze(pl.Callback):
    """Keep the parameters that match a pattern fixed, each pattern until a step or for the whole run.

    A frozen parameter has no gradient, so the optimiser passes it by. Where several processes train, gradients are
    computed and dropped instead: their reducer must know all parameters from the start. Raises TaskkitError for a
    pattern that matches nothing.
    """

    def __init__(self, patterns: Mapping[str, int | None], named: Callable[[], Mapping[str, nn.Parameter]]) -> None:
        self.named = named
        """Gives all parameters by name, which are others once they are shared out among processes."""
        self.frozen: dict[str, tuple[int | None, list[str]]] = {}
        names = named()
        for pattern, until in patterns.items():
            found = [name for name in names if fnmatchcase(name, pattern)]
            if not found:
                near = nearest(pattern, names, cutoff=0.3) or next(iter(names), "")
                raise TaskkitError(
                    f"optim.freeze: no parameter of the network matches {pattern!r}. Parameters are named like "
                    f"{near!r}; `*` matches any part of a name."
                )
            # What the model itself keeps fixed, as under adapters, is not ours to free.
            self.frozen[pattern] = (until, [name for name in found if names[name].requires_grad])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Freeze, except what a resumed run has already freed."""
        self._drop = trainer.world_size > 1
        self._parameters = self.named()
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
        names = [name for until, own in self.frozen.values() if until is None or step < until for name in own]
        return [self._parameters[name] for name in names]

    def _apply(self, step: int) -> None:
        if self._drop:
            return
        fixed = {id(p) for p in self._fixed(step)}
        for _, names in self.frozen.values():
            for parameter in (self._parameters[name] for name in names):
                parameter.requires_grad_(id(parameter) not in fixed)


def never_trained(section: OptimSection, task: Task) -> list[nn.Parameter]:
    """The parameters that `freeze` keeps fixed for the whole run."""
    patterns = [pattern for pattern, until in section.freeze.items() if until is None]
    return [p for name, p in named_parameters(task).items() if any(fnmatchcase(name, pattern) for pattern in patterns)]


def moving_average(decay: float, skipped: Skipped) -> pl.Callback:
    """Lightning's exponential moving average of the weights, which waits where a step was `skipped`.

    Of weights that are shared out among processes each keeps the average of its share. Raises TaskkitError when this
    Lightning has none.
    """
    try:
        from pytorch_lightning.callbacks import EMAWeightAveraging
    except ImportError:
        raise TaskkitError(
            f"optim.ema needs pytorch-lightning 2.6 or later; {version('pytorch-lightning')} is installed. "
            "Upgrade it, or set optim.ema to null."
        ) from None

    class Average(EMAWeightAveraging):
        def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
            return not skipped.last and bool(super().should_update(step_idx, epoch_idx))

        def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
            if not isinstance(trainer.strategy, FullyShard):
                # Lightning moves the module only later, and would leave the average where the module is now: on the
                # host, to which each step would then bring all weights.
                self._device = trainer.strategy.root_device
            super().setup(trainer, pl_module, stage)

        def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            if isinstance(trainer.strategy, FullyShard) and self._average_model is not None:
                share_alike(self._average_model.module, pl_module)

        def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            if isinstance(trainer.strategy, FullyShard):
                # Shares are what is changed for each other, not what was gathered of them.
                trainer.strategy.release()
            super().on_validation_epoch_end(trainer, pl_module)

        def on_save_checkpoint(
            self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
        ) -> None:
            super().on_save_checkpoint(trainer, pl_module, checkpoint)
            if isinstance(trainer.strategy, FullyShard):
                checkpoint["state_dict"] = trainer.strategy.gathered(checkpoint["state_dict"])

    return Average(decay=decay)
