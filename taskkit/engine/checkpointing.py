"""Checkpoints of a run: when it is saved, what is saved with it, and how signals stop it."""

from __future__ import annotations

import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from taskkit.contracts.recipe import CheckpointSection
from taskkit.contracts.task import Headline
from taskkit.runs import checkpoint

RANDOM = "taskkit_random"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGREE_EVERY = 10
"""Optimiser steps between two questions among several processes whether one of them got a signal."""


class Preempted(BaseException):
    """A signal asked the run to stop, and it was saved."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__(f"{signal.Signals(number).name} at step {step}")
        self.number = number
        self.step = step


class Checkpointer(pl.Callback):
    """Saves `last.ckpt` by steps, by time and after each validation, and `best.ckpt` when the headline is the best.

    Random states are saved too, so that a resumed run draws what the other would have drawn. SIGINT and SIGTERM save
    the run after the current optimiser step and raise Preempted; a second one interrupts at once.
    """

    def __init__(
        self,
        directory: Path,
        section: CheckpointSection,
        headline: Headline,
        contents: Callable[[], Mapping[str, Any]],
    ) -> None:
        self.last = directory / "last.ckpt"
        self.best = directory / "best.ckpt"
        self.section = section
        self.headline = headline
        self.contents = contents
        self.best_score: float | None = None
        self.signal: int | None = None
        self._saved_at = time.monotonic()
        self._step = 0
        self._trained = 0
        self._inside_window = False
        self._random: list[dict[str, Any]] | None = None
        self._handlers: dict[signal.Signals, Any] = {}

    # When to save.

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when it is due; inside an accumulation gradients would be lost, so only after an optimiser step.

        Before a validation, and before the end of an epoch, that is waited for: a run that went on from here would
        leave the validation out.
        """
        self._inside_window = trainer.global_step == self._trained
        self._trained = trainer.global_step
        if not trainer.is_last_batch and not validates_after(trainer, batch_idx):
            self._after_step(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save what was due after the last batch."""
        self._after_step(trainer)

    def _after_step(self, trainer: pl.Trainer) -> None:
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        if self._interrupted(trainer):
            self.save(trainer)
            raise Preempted(self.signal or signal.SIGTERM, self._step)
        if self._due(trainer):
            self.save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save, and keep a copy when the headline is as good as ever.

        Inside an accumulation only that copy is written: a run that went on from it would lose the gradients so far.
        """
        score = trainer.callback_metrics.get(f"val/{self.headline.metric}")
        better = score is not None and self._is_better(float(score))
        if better and score is not None:
            self.best_score = float(score)
        if self._inside_window:
            if better:
                self._write(trainer, self.best)
            return
        self.save(trainer)
        if better and trainer.is_global_zero:
            beside = self.best.with_name(".best.ckpt")
            shutil.copyfile(self.last, beside)
            beside.replace(self.best)

    def save(self, trainer: pl.Trainer) -> None:
        """Write `last.ckpt`: whole, or not at all."""
        self._write(trainer, self.last)
        self._saved_at = time.monotonic()

    def _write(self, trainer: pl.Trainer, path: Path) -> None:
        beside = path.with_name(f".{path.name}")
        trainer.save_checkpoint(beside)
        if trainer.is_global_zero:
            beside.replace(path)

    def _is_better(self, score: float) -> bool:
        # Of two equal scores the later is kept: it was trained for longer.
        if self.best_score is None:
            return True
        return score >= self.best_score if self.headline.direction == "max" else score <= self.best_score

    def _due(self, trainer: pl.Trainer) -> bool:
        steps, minutes = self.section.every_n_steps, self.section.every_minutes
        by_steps = steps is not None and self._step % steps == 0
        by_time = minutes is not None and time.monotonic() - self._saved_at > 60 * minutes
        return by_steps or (by_time and trainer.world_size == 1)

    # What is saved.

    def state_dict(self) -> dict[str, Any]:
        """The best score so far."""
        return {"best_score": self.best_score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back the best score."""
        self.best_score = state_dict["best_score"]

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint_: dict[str, Any]
    ) -> None:
        """Add what makes the checkpoint self-contained, and the random states of all processes."""
        checkpoint_[checkpoint.KEY] = self.contents()
        states = [random_state()]
        if trainer.world_size > 1:
            states = [{} for _ in range(trainer.world_size)]
            torch.distributed.all_gather_object(states, random_state())
        checkpoint_[RANDOM] = states

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint_: dict[str, Any]
    ) -> None:
        """Remember the random states until training goes on."""
        self._random = checkpoint_[RANDOM]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take back the random states, and listen for signals."""
        self._step = self._trained = trainer.global_step
        if self._random is not None:
            set_random_state(self._random[trainer.global_rank % len(self._random)])
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._on_signal) for number in SIGNALS}

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Stop listening."""
        self._release()

    # Signals.

    def _on_signal(self, number: int, frame: Any) -> None:
        self.signal = number
        self._release()

    def _release(self) -> None:
        handlers, self._handlers = self._handlers, {}
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def _interrupted(self, trainer: pl.Trainer) -> bool:
        if trainer.world_size == 1:
            return self.signal is not None
        if self._step % AGREE_EVERY:
            return False
        return bool(trainer.strategy.reduce_boolean_decision(self.signal is not None, all=False))


def validates_after(trainer: pl.Trainer, batch_idx: int) -> bool:
    """Whether a validation inside an epoch follows this batch."""
    every, epochs = trainer.val_check_batch, trainer.check_val_every_n_epoch
    if not trainer.enable_validation or not isinstance(every, int):
        return False
    if epochs is None:
        return (trainer.fit_loop.total_batch_idx + 1) % every == 0
    return (trainer.current_epoch + 1) % epochs == 0 and (batch_idx + 1) % every == 0


def random_state() -> dict[str, Any]:
    """The states of Python's, NumPy's and torch's generators, as plain data and tensors."""
    numpy = np.random.get_state(legacy=True)
    assert isinstance(numpy, tuple)
    return {
        "python": random.getstate(),
        "numpy": [numpy[0], torch.from_numpy(numpy[1].astype(np.int64)), *numpy[2:]],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Take back what `random_state` gave."""
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
