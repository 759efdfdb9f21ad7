"""What is timed: a run of taskkit, and a loop written by hand that does the same work."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from rich.console import Console
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from taskkit import api
from taskkit.batches.loader import HostBatch, Loader, StreamLoader
from taskkit.contracts.data import DataModule
from taskkit.contracts.recipe import Recipe
from taskkit.engine import build, optim
from taskkit.engine.loaders import fit_at_once, make_loaders
from taskkit.engine.loop import EpochLoop
from taskkit.engine.meter import Meter
from taskkit.engine.module import Window, clip_gradients
from taskkit.engine.placement import trained_alone
from taskkit.engine.threads import set_threads
from taskkit.engine.trainer import make_trainer, quiet
from taskkit.errors import TaskkitError
from taskkit.plugins.registry import Plugins
from taskkit.recipe.load import Resolved
from taskkit.speed.measured import WARM, Measured, Size, Stopwatch


@dataclass(frozen=True)
class Setting:
    """What a run turned out to train with."""

    device: str
    precision: str
    threads: int
    resident: bool
    workers: int
    unit: str
    scale: float
    """How many of what a size counts are one of the unit."""
    phases: bool
    convolutional: bool = False
    """Whether there is a 2-d convolution, which may be faster with the channels last in memory."""


class Watch(pl.Callback):
    """Times a stretch of a run, then stops it."""

    def __init__(self, steps: int) -> None:
        self.stopwatch = Stopwatch(steps)
        self.setting: Setting | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look what it trains with, and where it waits for batches."""
        self.meter = next(each for each in trainer.callbacks if isinstance(each, Meter))  # type: ignore[attr-defined]
        loop, loader, unit = trainer.fit_loop.epoch_loop, trainer.train_dataloader, self.meter.processor.unit
        assert isinstance(loop, EpochLoop)
        loop.fetching = self.stopwatch.waits, self.stopwatch.got
        resident = isinstance(loader, Loader) and loader.device is not None
        self.setting = Setting(
            device=str(trainer.strategy.root_device),
            precision=str(trainer.precision),
            threads=torch.get_num_threads(),
            resident=resident,
            workers=(loader.workers or 0) if isinstance(loader, Loader) and not resident else 0,
            unit=unit.name,
            scale=unit.scale,
            phases=not pl_module.automatic_optimization,
            convolutional=any(isinstance(each, nn.Conv2d) for each in pl_module.modules()),
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a batch."""
        done = self.stopwatch.stepped(outputs["scalars"]["loss"], trainer.strategy.root_device, self._size)
        trainer.should_stop = trainer.should_stop or done

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A recipe may have fewer steps than were to be timed."""
        self.stopwatch.stop(trainer.strategy.root_device, self._size)

    def _size(self) -> Size:
        return Size(self.meter.examples, self.meter.real_size, self.meter.padded_size)


def ours(resolved: Resolved, plugins: Plugins, steps: int) -> tuple[Setting, Measured]:
    """Time a run of taskkit, of which nothing is left; raises what a run would, and TaskkitError for too few steps."""
    watch, threads = Watch(steps), torch.get_num_threads()
    with tempfile.TemporaryDirectory(prefix="taskkit-bench-") as folder, Path(os.devnull).open("w") as nowhere:
        short = replace(resolved, recipe=trained_alone(resolved.recipe))
        try:
            api.start(short, plugins, Path(folder, "run"), Console(file=nowhere), callbacks=[watch])
        finally:
            torch.set_num_threads(threads)
    if watch.setting is None or watch.stopwatch.measured is None:
        raise TaskkitError(
            f"This recipe trains on too few batches to be timed: more than {WARM} were expected. Raise "
            "trainer.max_epochs or trainer.max_steps."
        )
    return watch.setting, watch.stopwatch.measured


def beyond_by_hand(recipe: Recipe, setting: Setting) -> str:
    """Why the loop written by hand does not do the work of a recipe; empty where it does."""
    if setting.phases:
        return "the task trains several phases"
    if setting.precision not in ("32-true", "bf16-mixed"):
        return f"it trains in {setting.precision}"
    own = {"trainer.accumulate_grad_batches": recipe.trainer.accumulate_grad_batches > 1}
    own |= {
        "activation_checkpointing": recipe.activation_checkpointing,
        "optim.ema": recipe.optim.ema is not None,
        "optim.freeze": bool(recipe.optim.freeze),
    }
    return ", ".join(f"it has {name}" for name, has in own.items() if has)


def by_hand(resolved: Resolved, steps: int) -> Measured:
    """Time a loop written by hand: the same network, optimiser, schedule, batches and precision, and no more."""
    stopwatch, threads, r = Stopwatch(steps), torch.get_num_threads(), trained_alone(resolved.recipe)
    try:
        with quiet():
            pl.seed_everything(r.seed, workers=True, verbose=False)
            set_threads(r.trainer, None)
            _loop(r, stopwatch)
    finally:
        torch.set_num_threads(threads)
    assert stopwatch.measured is not None, "as many batches as the run had"
    return stopwatch.measured


def _loop(r: Recipe, stopwatch: Stopwatch) -> None:
    data = build.data_module(r)
    prepared = build.prepare(data, r)
    built = build.build(r, prepared)
    loaders = make_loaders(built, prepared, lambda split: None)
    task, loader = built.task, loaders["train"]
    fit_at_once(loaders, built, prepared)
    trainer = make_trainer(r, [])
    device, precision = trainer.strategy.root_device, trainer.precision_plugin
    task.to(device).train()
    groups = optim.parameter_groups(
        r.optim, built.network, built.model.blocks(built.network), optim.own_parameters(task)
    )
    optimiser = optim.make_optimiser(r.optim, groups)
    total = optim.total_steps(trainer, len(loader) if isinstance(loader, Loader) else None)
    schedule = LambdaLR(optimiser, partial(optim.factor, section=r.optim, total=total))
    weights, augments = Window(loader), type(data).augment is not DataModule.augment
    if r.compile:
        built.network.compile()
    loader.place(device, rank=0, world=1)
    sizes = Size()
    try:
        for number, batch in enumerate(_batches(loader, stopwatch), 1):
            moved = {name: value.to(device, non_blocking=True) for name, value in batch.tensors.items()}
            tensors = data.augment(moved) if augments else moved
            with precision.forward_context():
                step = task.step(tensors)
            assert step.loss is not None
            loss = weights.weighed(step.loss.reshape(()), step)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if r.trainer.gradient_clip_val is not None:
                clip_gradients(task.parameters(), r.trainer.gradient_clip_val, r.trainer.gradient_clip_algorithm)
            optimiser.step()
            schedule.step()
            sizes = Size(sizes.examples + batch.samples, sizes.real + batch.real_size)
            if stopwatch.stepped(step.loss, device, lambda now=sizes: now) or number == total:  # type: ignore[misc]
                break
        stopwatch.stop(device, lambda: sizes)
    finally:
        loader.release()


def _batches(loader: Loader | StreamLoader, stopwatch: Stopwatch) -> Iterator[HostBatch]:
    """Batches of one epoch after the other."""
    for epoch in count():
        if isinstance(loader, Loader):
            loader.plan.set_epoch(epoch)
        stopwatch.waits()
        for batch in loader:
            stopwatch.got()
            yield batch
            stopwatch.waits()
