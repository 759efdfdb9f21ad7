"""Who takes the steps: a loop written by hand, Hugging Face's Trainer, and taskkit, all of one description."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TextIO

import pytorch_lightning as pl
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from on_device.stopwatch import Stopwatch
from taskkit import api
from taskkit.batches.loader import HostBatch, Loader
from taskkit.contracts.data import Batch, DataModule
from taskkit.contracts.task import Task
from taskkit.engine import build, optim
from taskkit.engine.loaders import fit_at_once, make_loaders
from taskkit.engine.module import TaskModule, Window, clip_gradients
from taskkit.engine.placement import trained_alone
from taskkit.plugins.registry import Plugins
from taskkit.recipe.load import Resolved


@dataclass(frozen=True)
class Place:
    """What a driver is given: the recipe, who measures, and a directory of its own."""

    resolved: Resolved
    plugins: Plugins
    stopwatch: Stopwatch
    directory: Path
    said: TextIO


Driver = Callable[[Place], None]


@contextmanager
def place(resolved: Resolved, plugins: Plugins, stopwatch: Stopwatch) -> Iterator[Place]:
    """A new directory to do the work in, where what is said goes into a file; of the recipe only training is left."""
    alike = trained_alone(resolved.recipe)
    with (
        tempfile.TemporaryDirectory() as name,
        (Path(name) / "said.txt").open("w") as said,
        redirect_stdout(said),
        redirect_stderr(said),
    ):
        yield Place(replace(resolved, recipe=alike), plugins, stopwatch, Path(name), said)


@dataclass(frozen=True)
class Parts:
    """What the drivers other than taskkit put together themselves, of taskkit's own making."""

    task: Task
    loader: Loader
    optimiser: Optimizer
    schedule: LambdaLR
    augment: Callable[[Batch], Batch]
    device: torch.device
    autocast: Callable[[], AbstractContextManager[Any]]

    def loss(self, batch: Batch, window: Window) -> Tensor:
        """The loss of a batch on the device, weighed as taskkit weighs it."""
        step = self.task.step(self.augment(batch))
        assert step.loss is not None
        return window.weighed(step.loss.reshape(()), step)


def parts(place: Place) -> Parts:
    """Build everything in the order in which taskkit does, so that the same weights are drawn."""
    r = place.resolved.recipe
    # Only this accelerator is asked for, since the protocol speaks of nothing else.
    device = torch.device("cpu" if r.trainer.accelerator == "cpu" else "cuda")
    pl.seed_everything(r.seed, workers=True, verbose=False)
    data = build.data_module(r)
    prepared = build.prepare(data, r)
    built = build.build(r, prepared)
    loaders = make_loaders(built, prepared, lambda split: None)
    task, loader = built.task, loaders["train"]
    assert isinstance(loader, Loader)
    fit_at_once(loaders, built, prepared)
    loader.place(device, rank=0, world=1)
    task.to(device).train()
    if r.compile:
        built.network.compile()
    groups = optim.parameter_groups(
        r.optim, built.network, built.model.blocks(built.network), optim.own_parameters(task)
    )
    optimiser = optim.make_optimiser(r.optim, groups)
    assert r.trainer.max_steps is not None
    schedule = LambdaLR(optimiser, partial(optim.factor, section=r.optim, total=r.trainer.max_steps))
    augments = type(data).augment is not DataModule.augment
    mixed = r.trainer.precision == "bf16-mixed"
    return Parts(
        task,
        loader,
        optimiser,
        schedule,
        data.augment if augments else lambda batch: batch,
        device,
        partial(torch.autocast, device.type, torch.bfloat16) if mixed else nullcontext,
    )


def by_hand(place: Place) -> None:
    """A loop written by hand."""
    p, section, stopwatch = parts(place), place.resolved.recipe.trainer, place.stopwatch
    stopwatch.attach(p.task, p.loader)
    window = Window(p.loader)
    for number, batch in enumerate(_epochs(p.loader), 1):
        tensors = {name: value.to(p.device, non_blocking=True) for name, value in batch.tensors.items()}
        with p.autocast():
            loss = p.loss(tensors, window)
        p.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if section.gradient_clip_val is not None:
            clip_gradients(p.task.parameters(), section.gradient_clip_val, section.gradient_clip_algorithm)
        p.optimiser.step()
        p.schedule.step()
        if stopwatch.done or number == section.max_steps:
            break
    p.loader.release()


def _epochs(loader: Loader) -> Iterator[HostBatch]:
    for epoch in count():
        loader.plan.set_epoch(epoch)
        yield from loader


def hugging_face(place: Place, *, tuned: bool) -> None:
    """Hugging Face's Trainer with its defaults; `tuned` has no bar, logs nothing and looks at no loss for NaN."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    section, p, stopwatch = place.resolved.recipe.trainer, parts(place), place.stopwatch
    stopwatch.attach(p.task, p.loader)
    window = Window(p.loader)

    class Fed(Trainer):  # type: ignore[misc]
        def get_train_dataloader(self) -> Any:
            return Handed(p.loader)

        def compute_loss(self, model: nn.Module, inputs: Batch, *args: Any, **options: Any) -> Tensor:
            loss: Tensor = model(inputs)
            return loss

    class Losing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.task = p.task

        def forward(self, batch: Batch) -> Tensor:
            return p.loss(batch, window)

    class Ending(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **options: Any) -> None:
            control.should_training_stop = control.should_training_stop or stopwatch.done

    quiet: Mapping[str, Any] = {"disable_tqdm": True, "logging_strategy": "no", "logging_nan_inf_filter": False}
    arguments = TrainingArguments(
        output_dir=str(place.directory / "hugging_face"),
        max_steps=section.max_steps,
        max_grad_norm=section.gradient_clip_val or 0.0,
        bf16=section.precision == "bf16-mixed",
        use_cpu=section.accelerator == "cpu",
        save_strategy="no",
        report_to=[],
        **(quiet if tuned else {}),
    )
    Fed(Losing(), arguments, train_dataset=p.loader, optimizers=(p.optimiser, p.schedule), callbacks=[Ending()]).train()
    p.loader.release()


class Handed:
    """The tensors of a loader's batches, epoch by epoch, as Hugging Face's Trainer wants them."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        self.loader.plan.set_epoch(self.epoch)
        self.epoch += 1
        return (batch.tensors for batch in self.loader)


def ours(place: Place) -> None:
    """A run of taskkit, as `taskkit run` makes it."""
    out = place.directory / "run"
    api.start(place.resolved, place.plugins, out, Console(file=place.said), callbacks=[Watch(place.stopwatch)])


class Watch(pl.Callback):
    """Attaches a stopwatch to a run, and ends the run when it is done."""

    def __init__(self, stopwatch: Stopwatch) -> None:
        self.stopwatch = stopwatch

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Attach it."""
        loader = trainer.train_dataloader
        assert isinstance(pl_module, TaskModule)
        assert isinstance(loader, Loader)
        self.stopwatch.attach(pl_module.task, loader)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End the run."""
        trainer.should_stop = trainer.should_stop or self.stopwatch.done
