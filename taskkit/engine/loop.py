"""The loop over the batches of an epoch: Lightning's own, with a short way through an ordinary step.

At each step Lightning asks each callback for each hook, names each call to its profiler, and looks up what stays the
same for a whole run: three times as many Python calls as the step itself makes. The short way calls what there is to
call, by the same hooks and with the same counters in the same order; whatever is not ordinary goes Lightning's way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loops.fetchers import _DataFetcher, _DataLoaderIterDataFetcher
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.plugins.precision import MixedPrecision, Precision
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from taskkit.batches.loader import HostBatch
from taskkit.engine.module import TaskModule

OWN = (
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_batch_transfer",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "backward",
    "optimizer_zero_grad",
)
"""Hooks of a LightningModule that TaskModule leaves as they are, so that nobody needs to call them."""


class EpochLoop(_TrainingEpochLoop):
    """Takes an ordinary step by the short way, and every other one by Lightning's."""

    fetching: tuple[Callable[[], None], Callable[[], None]] | None = None
    """What is called before and after a batch is waited for, in place of Lightning's profiler."""
    _short: _ShortWay | None = None

    def on_run_start(self, data_fetcher: _DataFetcher) -> None:
        """Look, once an epoch, whether its steps are ordinary."""
        super().on_run_start(data_fetcher)
        self._short = _ShortWay.of(self.trainer) if is_ordinary(self.trainer, data_fetcher) else None
        if self._short is not None or self.fetching is not None:
            data_fetcher._start_profiler, data_fetcher._stop_profiler = self.fetching or (_nothing, _nothing)

    @property
    def global_step(self) -> int:
        """Optimiser steps of the whole run."""
        return self._short.steps.total.completed if self._short is not None else super().global_step

    def advance(self, data_fetcher: _DataFetcher) -> None:
        """Train on one batch; the first one after a run was gone on with may have a validation before it."""
        if self._short is None or self.restarting:
            super().advance(data_fetcher)
            return
        short, trainer, progress = self._short, self.trainer, self.batch_progress
        if self.val_loop.restarting:  # It was gone on with after a validation, which is over.
            self.val_loop.restarting = False
        batch, _, _ = next(data_fetcher)
        number = self.batch_idx + 1
        progress.is_last_batch = data_fetcher.done
        batch = short.moved(batch)
        progress.increment_ready()
        short.logged.on_batch_start(batch)
        short.hooks.batch_start(batch, number)
        progress.increment_started()
        steps = not self._should_accumulate()
        outputs = short.train(batch, number, steps=steps)
        progress.increment_processed()
        if steps:
            self.scheduler_progress.increment_ready()
            short.schedule.step()
            self.scheduler_progress.increment_completed()
        short.hooks.batch_end(outputs, batch, number)
        if trainer._results:
            short.logged.on_batch_end()
        progress.increment_completed()

    def on_advance_end(self, data_fetcher: _DataFetcher) -> None:
        """Validate when it is time."""
        if self._short is None or self._skip_next_val or self._should_check_val_fx(data_fetcher):
            super().on_advance_end(data_fetcher)
        elif not self._should_accumulate():
            self._batches_that_stepped += 1


def is_ordinary(trainer: pl.Trainer, data_fetcher: _DataFetcher) -> bool:
    """Whether steps are those of one process on one device with one optimiser and schedule, in fp32 or bf16-mixed."""
    module, precision, schedules = trainer.lightning_module, trainer.precision_plugin, trainer.lr_scheduler_configs
    return (
        isinstance(module, TaskModule)
        and all(getattr(type(module), name) is getattr(pl.LightningModule, name) for name in OWN)
        and module.automatic_optimization
        and type(trainer.strategy) is SingleDeviceStrategy
        and type(precision) in (Precision, MixedPrecision)
        and getattr(precision, "scaler", None) is None
        and isinstance(trainer.profiler, PassThroughProfiler)  # type: ignore[attr-defined]
        and not trainer.loggers
        and not isinstance(data_fetcher, _DataLoaderIterDataFetcher)
        and len(trainer.optimizers) == len(schedules) == 1
        and (schedules[0].interval, schedules[0].frequency, schedules[0].reduce_on_plateau) == ("step", 1, False)
    )


@dataclass(frozen=True)
class _ShortWay:
    """What an ordinary step needs, looked up once."""

    module: TaskModule
    optimiser: Optimizer
    schedule: LRScheduler
    hooks: _Hooks
    precision: Precision
    batches: int
    """Of an optimiser step."""
    clip: tuple[Any, Any]
    """The value, and whether it bounds the norm or each value."""
    steps: Any
    """Lightning's counter of optimiser steps."""
    zeroed: Any
    """Its counter of how often gradients were dropped."""
    logged: Any
    """What keeps what callbacks log."""

    @classmethod
    def of(cls, trainer: pl.Trainer) -> _ShortWay:
        """Look all of it up."""
        module = trainer.lightning_module
        assert isinstance(module, TaskModule)
        counted = trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer
        return cls(
            module,
            trainer.optimizers[0],
            trainer.lr_scheduler_configs[0].scheduler,
            _Hooks(trainer, module),
            trainer.precision_plugin,
            trainer.accumulate_grad_batches,
            (trainer.gradient_clip_val, trainer.gradient_clip_algorithm),
            counted.step,
            counted.zero_grad,
            trainer._logger_connector,
        )

    def moved(self, batch: HostBatch) -> HostBatch:
        """The batch on the device, distorted there."""
        module = self.module
        return module.on_after_batch_transfer(module.transfer_batch_to_device(batch, module.device, 0), 0)

    def train(self, batch: HostBatch, number: int, *, steps: bool) -> dict[str, Any]:
        """Forward, backward, and an optimiser step where the batch ends one; what the module answered."""
        module, optimiser, hooks = self.module, self.optimiser, self.hooks
        if steps:
            self.steps.increment_ready()
        with self.precision.forward_context():
            outputs = module.training_step(batch, number)
        loss = outputs["loss"] if self.batches == 1 else outputs["loss"] / self.batches
        if number % self.batches == 0:
            self.zeroed.increment_ready()
            hooks.before_zero_grad(optimiser)
            self.zeroed.increment_started()
            optimiser.zero_grad()
            self.zeroed.increment_completed()
        hooks.before_backward(loss)
        loss.backward()
        hooks.after_backward()
        if steps:
            hooks.before_step(optimiser)
            module.on_before_optimizer_step(optimiser)
            module.configure_gradient_clipping(optimiser, *self.clip)
            optimiser.step()
            self.steps.increment_completed()
        return {**outputs, "loss": loss.detach()}


class _Hooks:
    """The hooks of a step, each of the callbacks that have it."""

    def __init__(self, trainer: pl.Trainer, module: TaskModule) -> None:
        def all_of(name: str) -> Callable[..., None]:
            found = [getattr(each, name) for each in trainer.callbacks if _has(each, name)]  # type: ignore[attr-defined]
            return _Called(trainer, module, name, found) if found else _nothing

        self.batch_start = all_of("on_train_batch_start")
        self.before_zero_grad = all_of("on_before_zero_grad")
        self.before_backward = all_of("on_before_backward")
        self.after_backward = all_of("on_after_backward")
        self.before_step = all_of("on_before_optimizer_step")
        self.batch_end = all_of("on_train_batch_end")


@dataclass(frozen=True)
class _Called:
    """One hook of several callbacks, in their order."""

    trainer: pl.Trainer
    module: TaskModule
    name: str
    found: Sequence[Callable[..., Any]]

    def __call__(self, *arguments: Any) -> None:
        # What a callback logs, Lightning keeps under the name of the hook. Past the `__setattr__` of a module.
        kept = vars(self.module)
        before, kept["_current_fx_name"] = kept["_current_fx_name"], self.name
        for call in self.found:
            call(self.trainer, self.module, *arguments)
        kept["_current_fx_name"] = before


def _has(callback: pl.Callback, name: str) -> bool:
    """Whether a callback does something of its own in a hook."""
    return getattr(getattr(callback, name), "__func__", None) is not getattr(pl.Callback, name)


def _nothing(*arguments: Any) -> None:
    """What nobody wants to be told."""
