"""The one LightningModule in the house: it lets a Trainer train a task, and keeps what the host must remember."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from taskkit.batches.loader import HostBatch, Loader, StreamLoader
from taskkit.contracts.component import Chosen
from taskkit.contracts.data import Batch, Stream
from taskkit.contracts.facts import DataSpec, Example, Split
from taskkit.contracts.task import Results, Step, Task
from taskkit.engine import throughput
from taskkit.engine.distil import Lesson, answer
from taskkit.engine.evaluate import Collector, Evaluation
from taskkit.engine.fsdp import FullyShard, own_share
from taskkit.engine.guard import calling, returned
from taskkit.engine.judge import Judge, numbers, statistics_of
from taskkit.engine.overflow import Skipped
from taskkit.errors import RunFailedError
from taskkit.runs.checkpoint import HISTORY
from taskkit.runs.encryption import EncryptionKey

Optimisers = Callable[["TaskModule"], Any]
"""Makes the optimisers and schedules of a run, as Lightning takes them."""


class TaskModule(pl.LightningModule):
    """A task under a Trainer.

    The weights of the task are saved as `task.…`. `owner` is the task's component, for messages.
    """

    def __init__(
        self,
        task: Task,
        owner: Chosen,
        *,
        augment: Callable[[Batch], Batch] | None = None,
        optimisers: Optimisers | None = None,
        loader: Loader | StreamLoader | None = None,
        lesson: Lesson | None = None,
    ) -> None:
        super().__init__()
        self.task = task
        self.owner = owner
        self.host = _Host(augment, optimisers, Window(loader), Skipped(), lesson)
        self.judges = nn.ModuleDict({split: Judge(task, owner) for split in ("val", "test")})
        self.rows: Collector | None = None
        self.results: dict[str, Results] = {}
        self.history: list[dict[str, float]] = []
        """The single numbers of each validation so far."""
        self.automatic_optimization = not task.phases

    # Training.

    def setup(self, stage: str) -> None:
        """Learn how many batches make an optimiser step."""
        if stage == "fit":
            self.host.window.open(self.trainer.accumulate_grad_batches, self.trainer.world_size)
            self.host.skipped.open(self.trainer)
            if self.host.lesson is not None:
                self.host = replace(self.host, lesson=self.host.lesson.on(self.trainer.strategy.root_device))

    def transfer_batch_to_device(self, batch: HostBatch, device: torch.device, dataloader_idx: int) -> HostBatch:
        """Move the tensors of a batch; Lightning would look through all of it for what can be moved."""
        soon = device.type not in ("cpu", "mps")
        tensors = {name: tensor.to(device, non_blocking=soon) for name, tensor in batch.tensors.items()}
        return batch._replace(tensors=tensors)

    def on_after_batch_transfer(self, batch: HostBatch, dataloader_idx: int) -> HostBatch:
        """Distort training batches once they are on the device."""
        if self.trainer.training and self.host.augment is not None:
            return batch._replace(tensors=self.host.augment(batch.tensors))
        return batch

    def training_step(self, batch: HostBatch, batch_idx: int) -> dict[str, Any]:
        """Take the task's step; the loss is weighed among those of its optimiser step, the scalars are as they are."""
        if self.task.phases:
            return self._phases(batch.tensors)
        step = self._taught(batch, self._step(batch.tensors, "step"))
        loss = self._trainable(step, "step")
        scalars = {"loss": loss, **step.scalars}
        return {
            "loss": self.host.window.weighed(loss, step),
            "scalars": {name: value.detach() for name, value in scalars.items()},
        }

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Divide the gradients by all that they are the sum over."""
        if self.automatic_optimization and self.host.window.exact:
            gradients = [own_share(p.grad) for p in self.task.parameters() if p.grad is not None]
            if gradients:
                torch._foreach_mul_(gradients, self.host.window.close(self.device).to(gradients[0].dtype))

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """Take a step, and notice where fp16 leaves it out."""
        self.host.skipped.watch(partial(optimizer.step, closure=optimizer_closure))

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Move the schedule on, but for a step that was left out."""
        if not self.host.skipped.last:
            scheduler.step()

    def configure_optimizers(self) -> Any:
        """Make the optimisers that the host gave."""
        if self.host.optimisers is None:
            raise RuntimeError("This task was built to be evaluated: it has no optimiser.")
        return self.host.optimisers(self)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients; unlike Lightning's own, in bf16 with a fused optimiser too, where nothing is scaled."""
        if gradient_clip_val is not None:
            trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            clip_gradients(trained, gradient_clip_val, gradient_clip_algorithm)

    def _phases(self, batch: Batch) -> dict[str, Any]:
        """Train each phase in turn, with its own optimiser; the last one's step is the one that is counted."""
        optimisers = _listed(self.optimizers())
        schedules = _listed(self.lr_schedulers())
        scalars: dict[str, Tensor] = {}
        for phase, optimiser, schedule in zip(self.task.phases, optimisers, schedules, strict=True):
            self.toggle_optimizer(optimiser)
            with calling(self.owner, "phase_step", batch=batch):
                step = returned(self.owner, "phase_step", self.task.phase_step(batch, phase), Step)
            loss = self._trainable(step, f"phase_step of {phase}")
            self.manual_backward(loss)
            if phase == self.task.phases[-1]:
                take = optimiser.step
            else:
                take = partial(self.trainer.strategy.optimizer_step, optimiser.optimizer, lambda: None, model=self)
            self.host.skipped.watch(take)
            optimiser.zero_grad()
            self.untoggle_optimizer(optimiser)
            self.lr_scheduler_step(schedule, None)
            scalars |= {f"{phase}_loss": loss, **step.scalars}
        total = sum(scalars[f"{phase}_loss"] for phase in self.task.phases)
        return {"scalars": {name: value.detach() for name, value in {"loss": total, **scalars}.items()}}  # type: ignore[union-attr]

    def on_train_start(self) -> None:
        """Take the sums of all parameters."""
        self.before = self.trainer.global_step, _sums(self.task)

    def on_train_end(self) -> None:
        """Raise RunFailedError when nothing was trained: such a run must not be called finished."""
        (start, sums), trainer = self.before, self.trainer
        steps = trainer.global_step - start
        self.host.skipped.tell(steps)
        moved = not torch.equal(sums, _sums(self.task))
        if steps and len(sums) and not trainer.strategy.reduce_boolean_decision(moved, all=False):
            rates = [group["lr"] for each in trainer.optimizers for group in each.param_groups]
            raise RunFailedError(
                f"{self.owner.name} ({self.owner.plugin}): none of {len(sums)} parameters moved in {steps} steps; the "
                f"last rate was {max(rates, default=0.0):.2g}. Training was expected to change some. Look at optim.lr "
                "and optim.warmup, whose share of all planned steps may be more than were taken, at optim.freeze and "
                "at what the loss depends on."
            )
        if trainer.global_step == 0 and trainer.num_training_batches and trainer.max_epochs != 0:
            raise RunFailedError(
                f"{self.owner.name} ({self.owner.plugin}): not one optimiser step was taken. A model whose parameters "
                "are to be trained was expected. Where nothing is learnt by steps, set trainer.max_epochs=0."
            )

    def flops_per_example(self, batch: Batch) -> float:
        """Floating-point operations of a training step for one example of a batch, by the forward pass."""
        return throughput.flops_per_example(self.task, batch)

    # Judging.

    def on_validation_epoch_start(self) -> None:
        """Let each process have the whole network: they may have unequal numbers of batches to judge."""
        if isinstance(self.trainer.strategy, FullyShard):
            self.trainer.strategy.gather()

    def validation_step(self, batch: HostBatch, batch_idx: int) -> None:
        """Take the task's step and add it to the validation."""
        self._judge("val").update(self._step(batch.tensors, "step"))

    def test_step(self, batch: HostBatch, batch_idx: int) -> None:
        """Take the task's step and add it, and its rows, to the test."""
        step = self._step(batch.tensors, "step")
        self._judge("test").update(step)
        if self.rows is not None:
            self.rows.add(batch, step)

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics, once for the whole split."""
        results = self._finish("val")
        if not self.trainer.sanity_checking:
            self.history.append(numbers(results))
        if isinstance(self.trainer.strategy, FullyShard):
            self.trainer.strategy.release()

    def on_test_epoch_end(self) -> None:
        """Log the test metrics, once for the whole split."""
        self._finish("test")

    def test(
        self,
        trainer: pl.Trainer,
        loader: Loader,
        examples: Sequence[Example] | Stream,
        spec: DataSpec,
        folder: Path | None,
        key: EncryptionKey | None = None,
    ) -> Evaluation:
        """Judge the task on a split: the same at the end of a run and whenever it is asked for later.

        Files of predictions are written into `folder`, encrypted where there is a key; without one they stay in the
        rows.
        """
        statistics = statistics_of(self.task, self.owner)
        self.rows = Collector(examples, self.task, self.owner, spec, statistics, folder, key)
        trainer.test(self, loader, verbose=False)
        rows, self.rows = self.rows.finished(), None
        protocol = {"task_protocol": dict(self.task.protocol()), "data_protocol": dict(spec.protocol)}
        return Evaluation(self.results["test"], rows, protocol, statistics)

    def remarks(self, split: Split) -> Iterable[str]:
        """What the task remarks on its last results on a split."""
        earlier = self.history[:-1] if split == "val" else self.history
        with calling(self.owner, "remarks"):
            return list(self.task.remarks(self.results[split], earlier))

    def _judge(self, split: str) -> Judge:
        judge = self.judges[split]
        assert isinstance(judge, Judge)
        return judge

    def _finish(self, split: str) -> Results:
        judge = self._judge(split)
        results = self.results[split] = judge.compute()
        judge.reset()
        self.log_dict({f"{split}/{k}": v.float() for k, v in results.items() if v.numel() == 1})
        return results

    # What is saved beside the weights.

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the validations so far."""
        checkpoint[HISTORY] = [dict(each) for each in self.history]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take back the validations so far."""
        self.history = [dict(each) for each in checkpoint.get(HISTORY, ())]

    def _step(self, batch: Batch, method: str) -> Step:
        with calling(self.owner, method, batch=batch):
            return returned(self.owner, method, self.task.step(batch), Step)

    def _taught(self, batch: HostBatch, step: Step) -> Step:
        """A training step with the teacher's share of its loss, where there is a teacher."""
        if self.host.lesson is None:
            return step
        with calling(self.owner, "logits"):
            outputs = step.outputs if self.task.answers_in_training else answer(self.task, batch.tensors)
            logits = self.task.logits(outputs)
        return self.host.lesson.taught(step, logits, torch.as_tensor(batch.indices, device=self.device))

    def _trainable(self, step: Step, method: str) -> Tensor:
        """The loss of a training step; raises RunFailedError where it has none, or one that trains nothing."""
        loss = step.loss
        if isinstance(loss, Tensor) and loss.numel() == 1 and loss.requires_grad:
            return loss.reshape(())
        if loss is None:
            what = "no loss"
        elif not isinstance(loss, Tensor):
            what = f"a {type(loss).__name__} as its loss"
        elif loss.numel() != 1:
            what = f"a loss of the shape {tuple(loss.shape)}"
        else:
            what = "a loss that no parameter has a part in: it has no gradient"
        raise RunFailedError(
            f"{self.owner.name} ({self.owner.plugin}): in training `{method}` gave {what}. A scalar tensor that "
            "depends on the parameters was expected. Where nothing is learnt by steps, set trainer.max_epochs=0."
        )


class Window:
    """The batches whose gradients make one optimiser step, in all processes, and what each of them weighs there.

    A loss is the mean over `count` things. Where several batches make a step, each weighs as much as it has of these,
    so that the step is that of one batch of all of them, also the last one of an epoch, which may have fewer. Where
    batches of a budget hold different numbers of examples, each example weighs alike from step to step too.
    """

    def __init__(self, loader: Loader | StreamLoader | None) -> None:
        self.loader = loader
        self.open(1, 1)

    def open(self, batches: int, processes: int) -> None:
        """Begin anew, with steps of so many batches in so many processes each."""
        self.batches = batches
        self.processes = processes
        self.exact = batches * processes > 1
        self.counts: list[int | Tensor] = []
        self.unit = 0.0

    def weighed(self, loss: Tensor, step: Step) -> Tensor:
        """The loss, a scalar, times what it weighs."""
        per_batch = self.loader.samples_per_batch if self.loader is not None else None
        by_example = step.over == "examples" and per_batch is not None
        if not self.exact:
            # The mean of few long samples and that of many short ones: unscaled, a long one would weigh more.
            return loss * (step.count / per_batch) if by_example and per_batch is not None else loss
        self.unit = self.unit or self._unit(step)
        self.counts.append(per_batch if by_example and per_batch is not None else step.count)  # type: ignore[arg-type]
        # Lightning divides each loss by the batches of a whole step, whether there are as many or not.
        return loss * (step.count * self.batches / self.unit)

    def close(self, device: torch.device) -> Tensor:
        """A scalar that makes the sum of the weighed gradients their mean over all processes; begins anew."""
        total = torch.stack([torch.as_tensor(count, dtype=torch.float32).to(device) for count in self.counts]).sum()
        if self.processes > 1:
            torch.distributed.all_reduce(total)
        self.counts = []
        return self.unit * self.processes / total.clamp(min=1)

    def _unit(self, step: Step) -> float:
        """About what a batch weighs, the same in all processes, so that gradients keep the size that fp16 can hold.

        A power of two: multiplying by it and dividing again changes no bit. It is read from the first batch alone,
        since that waits for the device.
        """
        count = torch.as_tensor(step.count, dtype=torch.float32)
        if self.processes > 1 and step.loss is not None:
            count = count.to(step.loss.device)
            torch.distributed.all_reduce(count, torch.distributed.ReduceOp.MAX)
        return float(2.0 ** round(math.log2(max(float(count), 1.0))))


@dataclass(frozen=True)
class _Host:
    """What the host gives a module for training; an average of the weights copies the module and shares this."""

    augment: Callable[[Batch], Batch] | None
    optimisers: Optimisers | None
    window: Window
    skipped: Skipped
    lesson: Lesson | None
    """What a teacher says of the training examples; None: there is no teacher."""

    def __deepcopy__(self, memo: Any) -> _Host:
        return self


def clip_gradients(parameters: Iterable[nn.Parameter], value: float, algorithm: str | None) -> None:
    """Bound the norm of all gradients together, or each of their values."""
    clip = nn.utils.clip_grad_value_ if algorithm == "value" else nn.utils.clip_grad_norm_
    clip(parameters, value)


def _sums(task: Task) -> Tensor:
    """For each parameter a number that changes with it, or with this process's share of it."""
    values = [own_share(p.detach()).cpu().double() for p in task.parameters()]
    return torch.stack([each.sum() + each.square().sum() for each in values]) if values else torch.empty(0)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
