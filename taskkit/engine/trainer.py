"""The Trainer of a recipe: Lightning's, without its own logging, bar, summary and checkpoints."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from lightning_fabric.utilities.warnings import PossibleUserWarning
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from pytorch_lightning.trainer.connectors.signal_connector import _SignalConnector
from torch import nn

from taskkit.contracts.component import Component
from taskkit.contracts.recipe import EarlyStoppingSection, Recipe, TrainerSection
from taskkit.contracts.task import Headline, Task
from taskkit.engine.checkpoint_file import CheckpointFile
from taskkit.engine.fsdp import FullyShard
from taskkit.engine.loop import EpochLoop
from taskkit.engine.placement import precision
from taskkit.errors import TaskkitError
from taskkit.runs.encryption import EncryptionKey
from taskkit.wording import did_you_mean, some

NVML = "PYTORCH_NVML_BASED_CUDA_CHECK"
"""The environment variable by which torch looks for GPUs without CUDA; it is read each time."""
PROCESSES = 8
"""As many may train on any CPU: to try what several do, they need not be fast."""


class EarlyStopping(pl.callbacks.EarlyStopping):
    """Lightning's early stopping, which looks at each validation and at nothing else, and stays stopped.

    Lightning's own looks at the ends of epochs, where a run that was gone on with after its validation has no metric;
    and a run that was killed after it was stopped would train on.
    """

    def __init__(self, monitor: str, mode: str, section: EarlyStoppingSection) -> None:
        super().__init__(
            monitor,
            mode=mode,
            patience=section.patience,
            min_delta=section.min_delta,
            check_finite=False,
            check_on_train_epoch_end=False,
        )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop at once where a run is gone on with that was already stopped."""
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience


def early_stopping(
    section: EarlyStoppingSection, task: Component, metrics: Iterable[str], headline: Headline, validated: bool
) -> EarlyStopping:
    """The early stopping of a recipe; raises TaskkitError when nothing would tell it that validation got better."""
    if not validated:
        raise TaskkitError("early_stopping: these data have no validation split. Set early_stopping=null.")
    name, known = (section.monitor or headline.metric).removeprefix("val/"), ["loss", *metrics]
    # A metric may give several numbers; those that the component declares are known too.
    if name not in known and task.direction(name) is None:
        raise TaskkitError(
            f"early_stopping.monitor: validation gives no {name!r}.{did_you_mean(name, known)} "
            f"Expected one of {', '.join(known)}."
        )
    mode = section.mode or task.direction(name) or (headline.direction if name == headline.metric else None)
    if mode is None:
        raise TaskkitError(
            f"early_stopping.mode: {task.name} does not declare which way {name!r} is better. Write max or min."
        )
    return EarlyStopping(f"val/{name}", mode, section)


class RareValidation(pl.Callback):
    """Lets validations be rarer than epochs: counted in batches over all epochs, where an epoch has fewer than that.

    It stands behind what places the loaders: an epoch has as many batches as the processes leave to each.
    """

    def __init__(self, interval: int, batches: Callable[[], int | None]) -> None:
        self.interval = interval
        self.batches = batches

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Tell Lightning before it counts."""
        batches = self.batches()
        if batches is None or self.interval > batches:
            trainer.check_val_every_n_epoch = None


class AllHaveGradients(pl.Callback):
    """Raises TaskkitError where a trained parameter has no gradient and the processes would not be told of that.

    Plain DDP waits for the gradient of every parameter before it takes the mean over the processes; where one has none,
    others of its bucket keep those of their own process, without a word.
    """

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Look, before anybody else, at what the backward passes of a step left; raises TaskkitError."""
        without = [name for name, p in pl_module.named_parameters() if p.requires_grad and p.grad is None]
        if without:
            named = some([name.removeprefix("task.") for name in without])
            raise TaskkitError(
                "trainer.strategy: ddp, which auto is with several processes, needs a gradient of every parameter in "
                f"every step, and in step {trainer.global_step + 1} there was none of {named}. Set "
                "trainer.strategy=ddp_find_unused_parameters_true, which looks for these."
            )


def make_trainer(
    r: Recipe,
    callbacks: Sequence[pl.Callback],
    batches: Callable[[], int | None] | None = None,
    task: Task | None = None,
    key: EncryptionKey | None = None,
    blocks: Sequence[nn.Module] = (),
) -> pl.Trainer:
    """The Trainer of a recipe; taskkit's own callbacks replace Lightning's logging, bar, summary and checkpoints.

    `batches` says how many an epoch has once loaders are placed, None as of a stream; validation may be rarer than
    epochs. `task` is what is trained, if anything is; with a `key` its checkpoints are encrypted. `blocks` are those of
    its network that are gathered one by one where its weights are shared out. Raises TaskkitError for what this machine
    or a strategy cannot do.
    """
    ask_for_devices_once()
    own = asdict(r.trainer)
    del own["threads"]
    accelerator = own["accelerator"]
    own["precision"] = precision(own["precision"], accelerator)
    own["devices"] = int(own["devices"]) if str(own["devices"]).lstrip("-").isdigit() else own["devices"]
    own["max_steps"] = own["max_steps"] or -1
    own["max_time"] = None if own["max_time"] is None else timedelta(seconds=own["max_time"])
    own["max_epochs"] = -1 if own["max_epochs"] is None else own["max_epochs"]
    for name in ("limit_train_batches", "limit_val_batches", "limit_test_batches", "val_check_interval"):
        own[name] = int(own[name]) if own[name] > 1 or own[name] == 0 else float(own[name])
    if isinstance(interval := own["val_check_interval"], int) and batches is not None:
        callbacks = [*callbacks, RareValidation(interval, batches)]
    if task is not None and task.phases:
        _for_phases(own, task)
    if own["strategy"] == "fsdp":
        # What is gathered for a validation must not be made in inference mode: training goes on with it.
        own |= {"strategy": FullyShard(blocks), "inference_mode": False}
    trainer = _trainer(**own, callbacks=list(callbacks), num_sanity_val_steps=0, use_distributed_sampler=False)
    if isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy | FullyShard):
        trainer.strategy.checkpoint_io = CheckpointFile(key)
    elif key is not None:
        raise TaskkitError(
            f"privacy.encrypt is true, but trainer.strategy={r.trainer.strategy} writes its checkpoints itself, which "
            "nobody would encrypt. Set trainer.strategy=ddp, or encrypt the disk and set privacy.encrypt=false."
        )
    if type(trainer.strategy) is DDPStrategy and not trainer.strategy._ddp_kwargs.get("find_unused_parameters"):
        trainer.callbacks.insert(0, AllHaveGradients())  # type: ignore[attr-defined]
    return trainer


def ask_for_devices_once() -> None:
    """Where there is no GPU, let torch not look for the driver's library each time that it wonders, once a step.

    Lightning has it look so, since asking CUDA itself before a fork would break it in the child; without a GPU nothing
    can. 83 µs each time without this, 0.5 µs with it (two cores of an AMD EPYC, 2026-11-27).
    """
    if not torch.cuda.is_available():
        os.environ[NVML] = "0"


def check_place(section: TrainerSection) -> None:
    """Raise TaskkitError, before any work, where this machine lacks what a recipe is to be trained on."""
    names = ("accelerator", "devices", "num_nodes", "strategy")
    own = {name: getattr(section, name) for name in names}
    if section.strategy == "fsdp":
        own["strategy"] = FullyShard()
    with quiet():
        trainer = _trainer(**own, precision=precision(section.precision, section.accelerator))
    cores = os.cpu_count() or 1
    if isinstance(trainer.accelerator, CPUAccelerator) and trainer.num_devices > max(cores, PROCESSES):
        raise TaskkitError(
            f"trainer.devices is {trainer.num_devices}, and this machine trains on its {cores} cores. Expected at most "
            f"{max(cores, PROCESSES)}. Lower it."
        )


def refuse_no_batches(section: TrainerSection, batches: Mapping[str, int]) -> None:
    """Raise TaskkitError for a share of a split's batches, by split, that is less than one of them."""
    for split, number in batches.items():
        share = getattr(section, f"limit_{split}_batches")
        if 0 < share < 1 and number and share * number < 1:
            raise TaskkitError(
                f"trainer.limit_{split}_batches is {share:g}, and {number:,} {split} batches have none of that. "
                f"Expected at least {1 / number:.2g}; a whole number above 1 counts batches."
            )


def _trainer(**settings: Any) -> pl.Trainer:
    """A Trainer without Lightning's logging, bar, summary and checkpoints; raises TaskkitError for its refusals."""
    try:
        trainer = pl.Trainer(
            **settings,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, ImportError, TypeError, ValueError, RuntimeError) as error:
        about = ("accelerator", "devices", "strategy", "precision")
        wanted = ", ".join(f"trainer.{name}={settings[name]}" for name in about)
        said = " ".join(str(error).split()).rstrip(".!")
        raise TaskkitError(
            f"{wanted}: this machine cannot train so ({said}). Change one of them; auto takes what there is."
        ) from error
    trainer._signal_connector = _Deaf(trainer)
    theirs = trainer.fit_loop.epoch_loop
    trainer.fit_loop.epoch_loop = EpochLoop(trainer, theirs.min_steps, theirs.max_steps)
    return trainer


class _Deaf(_SignalConnector):
    """Sets no handlers of its own: a run's are `engine.signals`.

    Lightning's waits inside a handler until every process got the signal too, for ever where one did not.
    """

    def register_signal_handlers(self) -> None:
        """Nothing is registered."""
        self.received_sigterm = False

    def teardown(self) -> None:
        """Nothing is to be put back."""


def _for_phases(own: dict[str, Any], task: Task) -> None:
    """Leave to the module what Lightning does only for one optimiser; raises TaskkitError for what it cannot heed."""
    if own["accumulate_grad_batches"] != 1:
        raise TaskkitError(
            f"trainer.accumulate_grad_batches is {own['accumulate_grad_batches']}, but the phases "
            f"{', '.join(task.phases)} take a step each on every batch. Set it to 1 and raise loader.batch_size."
        )
    if own["gradient_clip_val"] is not None:
        raise TaskkitError(
            f"trainer.gradient_clip_val is {own['gradient_clip_val']:g}, but a task of the phases "
            f"{', '.join(task.phases)} clips nothing. Set it to null."
        )
    if own["strategy"] == "fsdp":
        raise TaskkitError(
            f"trainer.strategy is fsdp, but the phases {', '.join(task.phases)} train parts of a network in turn, with "
            "which nobody tried it. Set trainer.strategy=auto."
        )
    if own["strategy"] in ("auto", "ddp"):
        # Each phase leaves the parameters of the others without a gradient.
        several = own["num_nodes"] > 1 or own["devices"] not in (1, "1")
        own["strategy"] = "ddp_find_unused_parameters_true" if several else own["strategy"]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's banners and hints off the terminal; they are about what taskkit decides itself."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PossibleUserWarning)
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
