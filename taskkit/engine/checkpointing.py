"""Checkpoints of a run: when it is saved, what is saved with it, and how signals stop it."""

from __future__ import annotations

import math
import random
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytorch_lightning as pl
import torch

from taskkit.contracts.recipe import CheckpointSection
from taskkit.contracts.task import Headline
from taskkit.engine.checkpoint_file import settle
from taskkit.engine.optim import batches_of_steps, total_steps
from taskkit.engine.signals import Signals
from taskkit.errors import RunFailedError
from taskkit.runs import checkpoint

AGREE_EVERY = 10
"""Optimiser steps between two questions among several processes whether one of them got a signal."""


class Checkpointer(pl.Callback):
    """Saves `last.ckpt` by steps, by time and after each validation, and `best.ckpt` when the headline is the best.

    Random states are saved too, so that a resumed run draws what the other would have drawn. After a signal the run is
    saved at the end of the current optimiser step and Preempted is raised.
    """

    def __init__(
        self,
        directory: Path,
        section: CheckpointSection,
        headline: Headline,
        contents: Callable[[], Mapping[str, Any]],
        signals: Signals,
        check: Callable[[pl.Trainer], None],
        seed: int,
    ) -> None:
        self.last = directory / "last.ckpt"
        self.best = directory / "best.ckpt"
        self.section = section
        self.headline = headline
        self.contents = contents
        self.signals = signals
        self.check = check
        """Raises where something is not finite, so that whatever was saved can be gone on from."""
        self.seed = seed
        self.best_score: float | None = None
        self.batches = 0
        """How many the run was trained on, those before it was gone on with too."""
        self._saved_at = time.monotonic()
        self._step = 0
        self._trained = 0
        self._inside_window = False
        self._random: list[dict[str, Any]] | None = None

    # When to save.

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when it is due; inside an accumulation gradients would be lost, so only after an optimiser step.

        Before a validation, and before the end of an epoch, that is waited for: a run that went on from here would
        leave the validation out.
        """
        self.batches += 1
        self._inside_window = trainer.global_step == self._trained
        self._trained = trainer.global_step
        if not trainer.is_last_batch and not validates_after(trainer, batch_idx):
            self._after_step(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save what was due after the last batch."""
        self._after_step(trainer, together=True)

    def _after_step(self, trainer: pl.Trainer, *, together: bool = False) -> None:
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        if self._interrupted(trainer, together=together):
            self.save(trainer)
            self._stop(trainer)
        if self._due(trainer):
            self.save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save, and keep a copy when the headline is as good as ever; one that is not a number never is.

        Inside an accumulation only that copy is written: a run that went on from it would lose the gradients so far.
        """
        score = trainer.callback_metrics.get(f"val/{self.headline.metric}")
        kept = [] if self._inside_window else [self.last]
        if score is not None and self._is_better(float(score)):
            self.best_score = float(score)
            # First, since `last.ckpt` says that this score was kept: a run that is killed between the two and gone on
            # with would never keep it.
            kept.insert(0, self.best)
        if kept:
            self._write(trainer, kept)

    def save(self, trainer: pl.Trainer) -> None:
        """Write `last.ckpt`: whole, or not at all."""
        self._write(trainer, [self.last])

    def _write(self, trainer: pl.Trainer, paths: Sequence[Path]) -> None:
        """Write one checkpoint, once all in it is finite, and move it or copies of it to these paths in this order."""
        self.check(trainer)
        written = self.last.with_name(".last.ckpt")
        copies = [path.with_name(f".{path.name}") for path in paths[:-1]]
        try:
            trainer.save_checkpoint(written)
            if trainer.is_global_zero:
                for copy, path in zip(copies, paths, strict=False):
                    shutil.copyfile(written, copy)
                    settle(copy)
                    copy.replace(path)
                written.replace(paths[-1])
                settle(self.last.parent)
        finally:
            # On a full disk half a checkpoint would take the room for saying so.
            if trainer.is_global_zero:
                for half in (written, *copies):
                    half.unlink(missing_ok=True)
        if self.last in paths:
            self._saved_at = time.monotonic()

    def _is_better(self, score: float) -> bool:
        # Compared with nan nothing is better: it would stay the best for ever.
        if math.isnan(score):
            return False
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
        """The best score so far, and the batches."""
        return {"best_score": self.best_score, "batches": self.batches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back the best score and the batches."""
        self.best_score, self.batches = state_dict["best_score"], state_dict["batches"]

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint_: dict[str, Any]
    ) -> None:
        """Add what makes the checkpoint self-contained, and the random states of all processes."""
        checkpoint_[checkpoint.KEY] = self.contents()
        states = [random_state()]
        if trainer.world_size > 1:
            states = [{} for _ in range(trainer.world_size)]
            torch.distributed.all_gather_object(states, random_state())
        checkpoint_[checkpoint.RANDOM] = states
        end_epoch(checkpoint_["loops"]["fit_loop"])

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint_: dict[str, Any]
    ) -> None:
        """Remember the random states until training goes on."""
        self._random = checkpoint_[checkpoint.RANDOM]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take back the random states, or let each process draw numbers of its own."""
        self._step = self._trained = trainer.global_step
        states, rank = self._random or [], trainer.global_rank
        if rank < len(states):
            set_random_state(states[rank])
        elif rank:
            # Lightning seeds all processes alike once they know of each other, so it is done here and not before.
            seed_generators(self.seed, rank, trainer.global_step)

    # The end.

    def finish(self, trainer: pl.Trainer) -> None:
        """Save the trained run; raises Preempted where a signal was waiting for that."""
        self.save(trainer)
        if self._any(trainer):
            self._stop(trainer)

    def _interrupted(self, trainer: pl.Trainer, *, together: bool) -> bool:
        """Whether to stop; `together`: all processes are here, and it costs little to ask them."""
        if trainer.world_size > 1 and not together and self._step % AGREE_EVERY:
            return False
        return self._any(trainer)

    def _any(self, trainer: pl.Trainer) -> bool:
        """Whether one of the processes got a signal."""
        here = self.signals.number is not None
        return bool(trainer.strategy.reduce_boolean_decision(here, all=False)) if trainer.world_size > 1 else here

    def _stop(self, trainer: pl.Trainer) -> NoReturn:
        self.signals.stop(self.signals.number or signal.SIGTERM, f"at step {trainer.global_step}", saved=True)


def end_epoch(loop: Mapping[str, Any]) -> None:
    """Let the state of Lightning's loop say that an epoch is over once all of it was done.

    Lightning says so only after the hook in which it is saved. A run by steps that went on from there took the epoch to
    be still going on, found no batch left in it and left out the order of the next one.
    """
    epochs, batches = loop["epoch_progress"], loop["epoch_loop.batch_progress"]
    if epochs["current"]["processed"] != epochs["current"]["ready"]:
        return
    for counted in (epochs["current"], epochs["total"]):
        counted["completed"] = counted["processed"]
    batches["current"] = dict.fromkeys(batches["current"], 0)
    batches["is_last_batch"] = False


def check_planned(trainer: pl.Trainer, trained: int, batches: int | None) -> None:
    """Raise RunFailedError when a run that ended was trained on other batches than it was to be.

    `trained`: how many batches it was trained on; `batches`: of an epoch, None as of a stream.
    """
    steps, planned = trainer.global_step, total_steps(trainer, batches) if trainer.max_epochs != 0 else 0
    expected = batches_of_steps(trainer, batches, steps)
    # A run that is stopped early, after a validation, may end inside an accumulation.
    inside = trainer.accumulate_grad_batches if trainer.should_stop else 1
    right = steps <= planned if trainer.should_stop else steps == planned
    if not right or not expected <= trained < expected + inside:
        raise RunFailedError(
            f"This run was trained for {steps} steps on {trained} batches. {planned} steps on "
            f"{batches_of_steps(trainer, batches, planned)} batches were expected, so its results are not those of its "
            "recipe. Run the recipe again; where that tells the same, tell the authors of taskkit and of the plugins "
            "with callbacks."
        )


def validates_after(trainer: pl.Trainer, batch_idx: int) -> bool:
    """Whether a validation inside an epoch follows this batch."""
    every, epochs = trainer.val_check_batch, trainer.check_val_every_n_epoch
    if not trainer.enable_validation or not isinstance(every, int):
        return False
    if epochs is None:
        return (trainer.fit_loop.total_batch_idx + 1) % every == 0
    return (trainer.current_epoch + 1) % epochs == 0 and (batch_idx + 1) % every == 0


def seed_generators(*words: int) -> None:
    """Let Python's, NumPy's and torch's generators begin anew, as no other words would have them."""
    mixed = int(np.random.SeedSequence(words).generate_state(1)[0])
    random.seed(mixed)
    np.random.seed(mixed)
    torch.manual_seed(mixed)


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
