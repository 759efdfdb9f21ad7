"""The rows: each takes the same work through the same steps, in its own way."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, TextIO

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from rich.console import Console
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from step_cost import plugin
from step_cost.stopwatch import Stopwatch
from step_cost.work import objective
from taskkit import api
from taskkit.batches.loader import Loader
from taskkit.batches.plan import Fixed
from taskkit.contracts.data import Batch, Stream
from taskkit.contracts.task import Task
from taskkit.engine import build, loaders, optim
from taskkit.engine import trainer as trainers
from taskkit.plugins.discovery import discover
from taskkit.plugins.registry import Plugins
from taskkit.recipe import load as recipes
from taskkit.recipe.load import Resolved

Report = Mapping[str, Any]
"""What the stopwatch wrote."""


@dataclass(frozen=True)
class Work:
    """What all drivers do: a recipe, which decides network, batches, optimiser, precision and seed."""

    path: Path
    overrides: tuple[str, ...] = ()

    def changed(self, *overrides: str) -> Work:
        """The same work with more overrides."""
        return Work(self.path, (*self.overrides, *overrides))

    def run(self, driver: Driver) -> Report:
        """Take the work through a driver, without a word; what the stopwatch saw."""
        with self.place() as place:
            driver(place)
            report: Report = json.loads(place.report.read_text())
        return report

    @contextmanager
    def place(self) -> Iterator[Place]:
        """A new directory to do the work in, where what is said goes into a file."""
        plugins = discover((), extra={"steps": plugin})
        with tempfile.TemporaryDirectory() as name, (Path(name) / "said.txt").open("w") as said:
            report = Path(name) / "report.json"
            resolved = recipes.load([self.path], [*self.overrides, f"task.report={report}"], plugins)
            with redirect_stdout(said), redirect_stderr(said):
                yield Place(resolved, plugins, Path(name), report, said)


@dataclass(frozen=True)
class Place:
    """What a driver is given: the recipe, and a directory of its own."""

    resolved: Resolved
    plugins: Plugins
    directory: Path
    report: Path
    said: TextIO


Driver = Callable[[Place], None]


@dataclass
class Parts:
    """What the drivers other than taskkit put together themselves, of taskkit's own making."""

    task: Task
    network: nn.Module
    batches: Collated
    optimiser: Optimizer
    schedule: LambdaLR
    stopwatch: Stopwatch


@dataclass
class Collated:
    """The batches of an epoch, put together beforehand."""

    batches: Sequence[Batch]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)


def parts(place: Place) -> Parts:
    """Build everything in the order in which taskkit does, so that the same weights are drawn."""
    r = place.resolved.recipe
    device = torch.device(r.trainer.accelerator)
    pl.seed_everything(r.seed, workers=True, verbose=False)
    prepared = build.prepare(build.data_module(r), r)
    built = build.build(r, prepared)
    examples = prepared.examples("train")
    assert not isinstance(examples, Stream)
    encoded = loaders.encoded_split(examples, built, "train")
    plan = Fixed(len(encoded), r.loader.batch_size, seed=r.seed, shuffle=True, drop_last=r.loader.drop_last)
    loader = Loader(encoded, built.processor, plan, resident="yes")
    loader.place(device, rank=0, world=1)
    network = built.network.to(device)
    assert r.trainer.max_steps is not None
    groups = optim.parameter_groups(r.optim, network, built.model.blocks(network))
    optimiser = optim.make_optimiser(r.optim, groups)
    schedule = LambdaLR(optimiser, partial(optim.factor, section=r.optim, total=r.trainer.max_steps))
    return Parts(
        built.task,
        network,
        Collated([batch.tensors for batch in loader]),
        optimiser,
        schedule,
        Stopwatch(r.task.section),
    )


def raw(place: Place) -> None:
    """A loop written by hand."""
    with without_lightning():
        _loop(place)


def _loop(place: Place) -> None:
    p, trainer = parts(place), place.resolved.recipe.trainer
    assert trainer.gradient_clip_val is not None
    for batch in islice(cycle(p.batches), trainer.max_steps):
        loss, _ = objective(p.network(image=batch["image"]), batch["target"])
        p.stopwatch.tick(loss)
        p.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(p.network.parameters(), trainer.gradient_clip_val)
        p.optimiser.step()
        p.schedule.step()


@contextmanager
def without_lightning() -> Iterator[None]:
    """As where Lightning is not imported: the variable that it sets makes AdamW look for devices at each step."""
    with left_alone():
        os.environ.pop(trainers.NVML, None)
        yield


@contextmanager
def left_alone() -> Iterator[None]:
    """Leave this variable to other drivers as it was."""
    before = os.environ.get(trainers.NVML)
    try:
        yield
    finally:
        os.environ.pop(trainers.NVML, None)
        if before is not None:
            os.environ[trainers.NVML] = before


def bare(place: Place) -> None:
    """Lightning with everything off that can be, and nothing logged."""
    module = Module(parts(place))
    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    _fit(place, module, **dict.fromkeys(off, False))


def quiet(place: Place) -> None:
    """Lightning's defaults but for the progress bar: five `self.log`, a CSV logger, ModelCheckpoint, ModelSummary."""
    _fit(place, Logging(parts(place)), logger=CSVLogger(place.directory), enable_progress_bar=False)


def usual(place: Place) -> None:
    """Lightning's defaults, progress bar and all, with five `self.log` and a CSV logger."""
    _fit(place, Logging(parts(place)), logger=CSVLogger(place.directory))


def ours(place: Place) -> None:
    """A run of taskkit, as `taskkit run` makes it."""
    with left_alone():
        api.start(place.resolved, place.plugins, place.directory / "run", Console(file=place.said))


def hugging_face(place: Place) -> None:
    """Hugging Face's Trainer with its defaults, bar and logging of the loss among them; it saves nothing.

    Raises ImportError, which says what is missing, where transformers or accelerate are not installed.
    """
    try:
        import accelerate  # noqa: F401 - transformers' Trainer imports it only when it is made
        from transformers import Trainer, TrainingArguments
    except ImportError as error:
        raise ImportError(
            f"The row of Hugging Face's Trainer needs transformers and accelerate ({error}). Install them, or leave "
            "the row out with --rows."
        ) from error
    section, p = place.resolved.recipe.trainer, parts(place)

    class Fed(Trainer):  # type: ignore[misc]
        def get_train_dataloader(self) -> Any:
            return p.batches

    arguments = TrainingArguments(
        output_dir=str(place.directory / "hugging_face"),
        max_steps=section.max_steps,
        max_grad_norm=section.gradient_clip_val,
        use_cpu=True,
        save_strategy="no",
        report_to=[],
    )
    Fed(Losing(p), arguments, train_dataset=p.batches, optimizers=(p.optimiser, p.schedule)).train()


class Losing(nn.Module):
    """The work as a module that answers with its loss, as Hugging Face's Trainer wants it."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.network = parts.network
        self.stopwatch = parts.stopwatch

    def forward(self, image: Tensor, target: Tensor, example: Tensor) -> dict[str, Tensor]:
        """The loss, and the scalars that nobody reads."""
        loss, scalars = objective(self.network(image=image), target)
        self.stopwatch.tick(loss)
        return {"loss": loss, **scalars}


def _fit(place: Place, module: Module, **options: Any) -> None:
    section = place.resolved.recipe.trainer
    with trainers.quiet():
        trainer = pl.Trainer(
            max_steps=section.max_steps or -1,
            max_epochs=-1,
            accelerator=section.accelerator,
            devices=1,
            precision=section.precision,  # type: ignore[arg-type]
            gradient_clip_val=section.gradient_clip_val,
            default_root_dir=place.directory,
            **options,
        )
        trainer.fit(module, module.parts.batches)


class Module(pl.LightningModule):
    """The work as a LightningModule that logs nothing."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.network = parts.network
        self.parts = parts

    def configure_optimizers(self) -> Any:
        """The optimiser and schedule of the work."""
        scheduler = {"scheduler": self.parts.schedule, "interval": "step"}
        return {"optimizer": self.parts.optimiser, "lr_scheduler": scheduler}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss."""
        loss, scalars = objective(self.network(image=batch["image"]), batch["target"])
        self.keep(loss, scalars)
        self.parts.stopwatch.tick(loss)
        return loss

    def keep(self, loss: Tensor, scalars: Mapping[str, Tensor]) -> None:
        """Do nothing with the scalars."""


class Logging(Module):
    """The same, logging as most do."""

    def keep(self, loss: Tensor, scalars: Mapping[str, Tensor]) -> None:
        """Log each, the loss on the progress bar."""
        self.log("loss", loss, prog_bar=True)
        for name, value in scalars.items():
            self.log(name, value)
