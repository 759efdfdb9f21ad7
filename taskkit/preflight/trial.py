"""A short run of a recipe, timed part by part.

`python -m taskkit.preflight.trial RECIPE FOLDER SECONDS` leaves trial.json in the folder.

It is a process of its own, so that its memory is that of a run, and what the system kills is not who asked.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytorch_lightning as pl
import torch
from rich.console import Console

from taskkit import api
from taskkit.batches.loader import Loader
from taskkit.contracts.recipe import Recipe, TrackersSection
from taskkit.engine.optim import batches_of_steps, total_steps
from taskkit.engine.placement import alone
from taskkit.errors import OutOfMemoryError, TaskkitError
from taskkit.plugins.discovery import from_environment
from taskkit.plugins.registry import Plugins
from taskkit.recipe.load import Resolved, load

FILE = "trial.json"
OUT_OF_MEMORY = 3
"""The exit code of a process whose memory was full."""
SECONDS = 10.0
"""How long training, and the test, are watched, about."""
WARM = 3
"""Batches that are not like those that follow: memory is taken, kernels are chosen."""
LEAST, ENOUGH = 5, 6
"""So many batches are timed at least, unless they take so many times longer than is watched."""
JUDGED = 10
"""Batches of each validation."""


@dataclass
class Stretch:
    """Batches of one kind, one after another."""

    count: int = 0
    """How many were timed."""
    seconds: float = 0.0
    """What these took."""
    apart: float = 0.0
    """What went before and after them: the first ones, metrics, checkpoints."""
    planned: int = 0
    """How many a run has of them, each time."""

    @property
    def each(self) -> float:
        """Seconds of one; 0 where none was timed."""
        return self.seconds / self.count if self.count else 0.0


@dataclass
class Timed:
    """What was measured; seconds, bytes and counts."""

    starting: float = 0.0
    """From the start of the process to that of the run: Python, torch and plugins are imported."""
    preparing: float = 0.0
    """From there to the first batch: data, samples, network."""
    train: Stretch = field(default_factory=Stretch)
    validation: Stretch = field(default_factory=Stretch)
    test: Stretch = field(default_factory=Stretch)
    between: float = 0.0
    """From the last batch to the test."""
    judging: float = 0.0
    """From the end of the test to that of the run: rows, intervals, tables."""
    batches_per_epoch: int | None = None
    device: str = ""
    memory: int = 0
    """The most that the process held."""
    device_memory: int | None = None
    """The most that torch held on a CUDA device."""
    device_memory_total: int | None = None
    checkpoint: int = 0
    samples: int = 0
    """Of all encoded samples."""
    validated: bool = False


class Watch(pl.Callback):
    """Times the parts of a run, and stops its training once it knows enough."""

    def __init__(self, timed: Timed, recipe: Recipe, seconds: float) -> None:
        self.timed = timed
        self.section = recipe.trainer
        self.seconds = seconds
        self._since = self._began = time.perf_counter()
        self._warm = 0
        self._first = True

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Learn where it runs; a recipe that takes no steps has no start of training."""
        self.timed.device = str(trainer.strategy.root_device)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count what a whole run has."""
        self.timed.preparing = self._lap()
        loader = trainer.train_dataloader
        batches = len(loader) if isinstance(loader, Loader) else None
        self.timed.train.planned = batches_of_steps(trainer, batches, total_steps(trainer, batches))
        self.timed.batches_per_epoch = None if batches is None else int(trainer.num_training_batches)
        self.timed.samples = sum(_bytes(each) for each in (loader, trainer.val_dataloaders))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Time a batch; the first ones apart."""
        if trainer.strategy.root_device.type == "cuda":
            torch.cuda.synchronize()
        train = self.timed.train
        if self._warm < WARM:
            self._warm += 1
            train.apart += self._lap()
            return
        train.seconds += self._lap()
        train.count += 1
        enough = train.count >= LEAST or train.seconds > ENOUGH * self.seconds
        # What an optimiser keeps is there, beside a batch, after its first step.
        stepped = WARM + train.count > trainer.accumulate_grad_batches
        trainer.should_stop = trainer.should_stop or (stepped and enough and train.seconds > self.seconds)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Time the validation by itself."""
        self._begin()
        self.timed.validated = True
        self.timed.validation.apart = 0.0  # Of the last one: the first imports what the others find.
        self.timed.validation.planned = _planned(trainer.val_dataloaders, self.section.limit_val_batches)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Time a batch of it."""
        self._judged(self.timed.validation)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The metrics and the checkpoint were made."""
        self.timed.validation.apart += self._lap()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let the test take as many batches as there is time for, by those of the validation."""
        each = self.timed.validation.each or self.timed.train.each
        wanted = trainer.limit_test_batches
        if each and wanted:
            most = max(2, int(self.seconds / each))
            trainer.limit_test_batches = most if isinstance(wanted, float) else min(most, wanted)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Time the test by itself."""
        self.timed.between = self._lap()
        self._begin()
        self.timed.test.planned = _planned(trainer.test_dataloaders, self.section.limit_test_batches)
        self.timed.samples += _bytes(trainer.test_dataloaders)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Time a batch of it."""
        self._judged(self.timed.test)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The metrics were made."""
        self.timed.test.apart += self._lap()

    def end(self) -> None:
        """The run is over."""
        last = self._lap()
        if self.timed.test.planned:
            self.timed.judging = last
        else:
            self.timed.between = last

    def _begin(self) -> None:
        self._lap()
        self._first = True

    def _judged(self, stretch: Stretch) -> None:
        lap = self._lap()
        if self._first:
            self._first = False
            stretch.apart += lap
        else:
            stretch.seconds += lap
            stretch.count += 1

    def _lap(self) -> float:
        now = time.perf_counter()
        lap, self._since = now - self._since, now
        return lap


def trial(resolved: Resolved, plugins: Plugins, folder: Path, seconds: float = SECONDS) -> Timed:
    """Run a recipe in short, below a folder, and say what was measured; raises what a run would."""
    timed = Timed(starting=time.time() - psutil.Process().create_time())
    watch = Watch(timed, resolved.recipe, seconds)
    short = replace(resolved, recipe=_short(resolved.recipe))
    out = folder / "run"
    with Path("/dev/null").open("w") as nowhere:
        run = api.start(short, plugins, out, Console(file=nowhere), callbacks=[watch])
    watch.end()
    timed.memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if timed.device.startswith("cuda"):
        timed.device_memory = run.manifest.cost.peak_memory_bytes
        timed.device_memory_total = torch.cuda.get_device_properties(torch.device(timed.device)).total_memory
    timed.checkpoint = max((path.stat().st_size for path in (out / "checkpoints").glob("*.ckpt")), default=0)
    return timed


def read(path: Path) -> Timed:
    """What a trial left."""
    said = json.loads(path.read_text())
    stretches = {name: Stretch(**said[name]) for name in ("train", "validation", "test")}
    return Timed(**{**said, **stretches})


def _short(recipe: Recipe) -> Recipe:
    """The recipe on one device, with a validation of some batches after each epoch and where it is stopped.

    Nothing tracks it.
    """
    section = recipe.trainer
    most = section.limit_val_batches
    trainer = replace(
        alone(section),
        limit_val_batches=min(most, JUDGED) if most > 1 else JUDGED * bool(most),
        limit_test_batches=section.limit_test_batches,
        val_check_interval=1.0 if recipe.trainer.max_epochs is not None else section.val_check_interval,
        check_val_every_n_epoch=1,
    )
    return replace(recipe, trainer=trainer, trackers=TrackersSection())


def _planned(loader: Any, limit: float) -> int:
    """How many batches of a loader are judged."""
    batches = len(loader) if isinstance(loader, Loader) else 0
    return min(batches, int(limit)) if limit > 1 else int(batches * limit)


def _bytes(loader: Any) -> int:
    return loader.encoded.nbytes if isinstance(loader, Loader) else 0


def _main(recipe: Path, folder: Path, seconds: float) -> None:
    plugins = from_environment()
    try:
        timed = trial(load([recipe], [], plugins), plugins, folder, seconds)
    except OutOfMemoryError as error:
        print(error, file=sys.stderr)
        sys.exit(OUT_OF_MEMORY)
    except TaskkitError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    (folder / FILE).write_text(json.dumps(asdict(timed)))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
