"""Measuring a training run without slowing it: scalars stay on the device and are read once every N steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch

from taskkit.batches.loader import HostBatch
from taskkit.contracts.model import Processor
from taskkit.engine.energy import Consumption, of_trainer
from taskkit.engine.finite import Trail
from taskkit.engine.module import TaskModule
from taskkit.engine.optim import total_steps
from taskkit.engine.progress import Length, Progress
from taskkit.engine.throughput import Clock, mfu, peak_memory
from taskkit.engine.tracking import Tracking
from taskkit.runs.checkpoint import LINES
from taskkit.runs.manifest import Cost, Energy
from taskkit.runs.record import Record


class Meter(pl.Callback):
    """Keep the scalars of each training step, drain them every N optimiser steps, measure throughput between drains.

    A drain is one transfer from the device. It writes one line of metrics, which trackers are told too, moves the
    progress display, and stops the run when a loss is not a number. Scalars since the last drain are saved in
    checkpoints, so that a resumed run logs the same losses.
    """

    def __init__(
        self,
        every_n_steps: int,
        processor: Processor,
        batches: Callable[[], int | None],
        record: Record | None,
        tracking: Tracking,
        progress: Progress,
        trail: Trail,
        *,
        flops: bool,
    ) -> None:
        self.every_n_steps = every_n_steps
        self.processor = processor
        self.batches = batches
        """Says how many an epoch has, once loaders are placed; None: nobody knows, as of a stream."""
        self.record = record
        self.tracking = tracking
        self.progress = progress
        self.trail = trail
        self.count_flops = flops
        self.pending: list[dict[str, torch.Tensor]] = []
        self.clock = Clock()
        self.consumption: Consumption | None = None
        """Of energy; None until training begins."""
        self._earlier: Energy | None = None
        """What was counted before the run went on."""
        self.examples = self.real_size = self.padded_size = self.drained = 0
        self.flops_per_example: float | None = None
        self.lines = 0
        """How many lines of metrics were written."""
        self._window = (0.0, 0, 0)
        self.epoch = 0
        """The one that was trained last, counted from 0."""
        self._remarked: set[str] = set()
        """Told after an earlier validation; what still holds at the end is told by the test again."""

    # Lightning's hooks.

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock and the display."""
        assert isinstance(pl_module, TaskModule)
        self.trail.follow(pl_module.task)
        self.drained = trainer.global_step - trainer.global_step % self.every_n_steps
        self._window = (self.clock.seconds, self.examples, self.real_size)
        self.consumption = Consumption(partial(of_trainer, trainer), self._earlier)
        self._run()
        steps, epochs = total_steps(trainer, self.batches()), trainer.max_epochs
        self.progress.begin(trainer.global_step, Length(steps, epochs if epochs and epochs > 0 else None))

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: HostBatch, i: int
    ) -> None:
        """Note the batch; count the operations of the network on the first one."""
        self.trail.batch(trainer.global_step + 1, batch)
        assert isinstance(pl_module, TaskModule)
        if self.count_flops and self.flops_per_example is None and not pl_module.task.phases:
            with trainer.precision_plugin.forward_context():
                self.flops_per_example = pl_module.flops_per_example(batch.tensors)

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        """Note the gradients."""
        self.trail.gradients(trainer.global_step + 1)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: HostBatch, i: int
    ) -> None:
        """Keep the step's scalars; drain when it is time."""
        # Lightning counts an epoch as over before training ends, so the number is kept from here.
        self.epoch = trainer.current_epoch
        self.pending.append(outputs["scalars"])
        world = trainer.world_size
        self.examples += world * batch.samples
        self.real_size += world * batch.real_size
        self.padded_size += world * self.processor.padded_size(batch.tensors)
        if trainer.global_step - self.drained >= self.every_n_steps:
            self.drain(trainer)
        if self.consumption is not None:
            self.consumption.read_often()
        self.progress.advance(trainer.global_step, trainer.current_epoch)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock: validation is not training."""
        self._hold()
        self.progress.validating()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record and show what validation gave."""
        values = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val/")}
        self._write({"step": trainer.global_step, "epoch": trainer.current_epoch, **values})
        self.progress.evaluated(trainer.global_step, trainer.current_epoch, values)
        assert isinstance(pl_module, TaskModule)
        for remark in pl_module.remarks("val"):
            if remark not in self._remarked:
                self._remarked.add(remark)
                self.progress.output(remark)
        self._run()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Drain what is left."""
        self.drain(trainer)
        self._hold()
        self.progress.end()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Take the display down, so that the error can be read."""
        self.progress.end()

    def state_dict(self) -> dict[str, Any]:
        """The counters, and the scalars since the last drain as plain numbers; every process must ask for it."""
        return {
            "pending": _averaged([{k: float(v) for k, v in scalars.items()} for scalars in self.pending]),
            "counters": [self.examples, self.real_size, self.padded_size],
            "seconds": self.clock.seconds,
            "energy": None if (found := self._energy()) is None else asdict(found),
            "epoch": self.epoch,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting where the saved run was."""
        self.pending = [{k: torch.tensor(v) for k, v in scalars.items()} for scalars in state_dict["pending"]]
        self.examples, self.real_size, self.padded_size = state_dict["counters"]
        self.clock.seconds = state_dict["seconds"]
        self.epoch = state_dict["epoch"]
        # Checkpoints of a taskkit that did not measure it have none.
        saved = state_dict.get("energy") or {"joules": None, "note": "an older taskkit did not measure it"}
        self._earlier = Energy(**{**saved, "parts": tuple(saved.get("parts", ()))})

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add how many lines of metrics there are; a run that goes on from here takes the later ones again."""
        checkpoint[LINES] = self.lines

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on counting lines."""
        self.lines = checkpoint[LINES]

    def check(self, trainer: pl.Trainer) -> None:
        """Raise NonfiniteError where a loss since the last drain, a weight or an optimiser's state is not finite."""
        if self.pending:
            self.trail.judge(read(self.pending, trainer)["loss"], self._losses())
        states = (state for optimiser in trainer.optimizers for state in optimiser.state.values())
        self.trail.check_weights(
            value for state in states for value in state.values() if isinstance(value, torch.Tensor)
        )

    def drain(self, trainer: pl.Trainer) -> None:
        """Read the scalars of the steps since the last drain; raises NonfiniteError when a loss is not finite."""
        if not self.pending:
            return
        values = read(self.pending, trainer)
        self.trail.judge(values["loss"], self._losses())
        self.trail.forget()
        self.pending = []
        self.drained = trainer.global_step
        line = {
            "step": trainer.global_step,
            "epoch": self.epoch,
            **{f"train/{name}": sum(column) / len(column) for name, column in values.items()},
            **_learning_rates(trainer),
            **self._rates(),
        }
        self._write(line)
        self.progress.drained(line)

    def _write(self, line: Mapping[str, Any]) -> None:
        self.lines += 1
        if self.record is not None:
            self.record.metrics(line)
        self.tracking.line(self.lines, line)

    def cost(self, device: torch.device, precision: str, parameters: int) -> Cost:
        """What the training cost: time, throughput, memory, operations and, on a known device, MFU."""
        seconds, unit = self.clock.seconds, self.processor.unit
        per_second = self.examples / seconds if seconds else None
        return Cost(
            parameters=parameters,
            train_seconds=round(seconds, 3),
            examples_per_second=per_second,
            units=unit.name,
            units_per_second=self.real_size / unit.scale / seconds if seconds else None,
            padding=1 - self.real_size / self.padded_size if self.padded_size else None,
            peak_memory_bytes=peak_memory(device),
            flops_per_example=self.flops_per_example,
            mfu=mfu(device, precision, self.flops_per_example, per_second),
            energy=self._energy(),
        )

    def _energy(self) -> Energy | None:
        """What was counted so far; None: nothing was trained."""
        return self._earlier if self.consumption is None else self.consumption.energy

    def _run(self) -> None:
        """Let clock and meter of energy run."""
        self.clock.start()
        if self.consumption is not None:
            self.consumption.start()

    def _hold(self) -> None:
        """Stop both."""
        self.clock.stop()
        if self.consumption is not None:
            self.consumption.stop()

    def _rates(self) -> dict[str, float]:
        seconds, examples, size = self.clock.seconds, self.examples, self.real_size
        past = self._window
        self._window = (seconds, examples, size)
        elapsed = max(seconds - past[0], 1e-9)
        scale = self.processor.unit.scale
        return {
            "seconds": round(seconds, 3),
            "examples_per_second": (examples - past[1]) / elapsed,
            "units_per_second": (size - past[2]) / scale / elapsed,
        }

    def _losses(self) -> list[torch.Tensor]:
        return [scalars["loss"] for scalars in self.pending]


def _averaged(pending: list[dict[str, float]]) -> list[dict[str, float]]:
    """The means over all processes, since one of them writes what all go on with."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return pending
    everywhere: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everywhere, pending)
    return [
        {name: sum(each[name] for each in step) / len(step) for name in step[0]}
        for step in zip(*everywhere, strict=True)
    ]


def _learning_rates(trainer: pl.Trainer) -> dict[str, float]:
    """The largest of the parameter groups: `lr` of the first optimiser, and of each phase, if any, as `lr/NAME`."""
    module = trainer.lightning_module
    assert isinstance(module, TaskModule)
    rates = [max(group["lr"] for group in optimiser.param_groups) for optimiser in trainer.optimizers]
    return {"lr": rates[0], **{f"lr/{phase}": rate for phase, rate in zip(module.task.phases, rates, strict=False)}}


def read(pending: list[dict[str, torch.Tensor]], trainer: pl.Trainer) -> dict[str, list[float]]:
    """The scalars of several steps by name, averaged over the processes, in one transfer from the device."""
    names = sorted({name for scalars in pending for name in scalars})
    columns = {name: [scalars[name] for scalars in pending if name in scalars] for name in names}
    device = trainer.strategy.root_device
    together = torch.stack([v.to(device, torch.float32) for column in columns.values() for v in column])
    flat = trainer.strategy.reduce(together, reduce_op="mean").tolist()
    out, at = {}, 0
    for name, column in columns.items():
        out[name] = flat[at : at + len(column)]
        at += len(column)
    return out
