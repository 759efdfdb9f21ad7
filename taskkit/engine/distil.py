"""What a student learns from: the logits of a teacher for each training sample, and the loss that they give."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

from taskkit.contracts.data import Batch
from taskkit.contracts.recipe import DistilSection
from taskkit.contracts.task import Step, Task
from taskkit.errors import RunFailedError


@dataclass(frozen=True)
class Lesson:
    """A teacher's answers to the training samples, by their numbers."""

    logits: Tensor
    """float32, (training samples, choices)."""
    section: DistilSection

    def on(self, device: torch.device) -> Lesson:
        """The same on a device."""
        return replace(self, logits=self.logits.to(device))

    def taught(self, step: Step, logits: Tensor, samples: Tensor) -> Step:
        """A training step with the teacher's share of the loss (Hinton et al., 2015, section 2).

        `logits` (samples, choices) are the student's, and `samples` (samples) the numbers of what they answer to. The
        step is weighed as before, by what the task's own loss is the mean of. Raises RunFailedError where they are no
        such logits.
        """
        wanted = (len(samples), self.logits.shape[1])
        if logits.shape != wanted or step.loss is None:
            raise RunFailedError(
                f"A student's step gave logits of the shape {tuple(logits.shape)}; {wanted} and a loss were expected, "
                "as of its teacher. Look at the task's `logits`, or set distil=null."
            )
        heat, share = self.section.temperature, self.section.alpha
        apart = heat**2 * F.kl_div(
            (logits.float() / heat).log_softmax(-1),
            (self.logits[samples] / heat).log_softmax(-1),
            reduction="batchmean",
            log_target=True,
        )
        scalars = {**step.scalars, "task_loss": step.loss, "teacher_loss": apart}
        return replace(step, loss=share * apart + (1 - share) * step.loss, scalars=scalars)


def answer(task: Task, batch: Batch) -> Any:
    """What the network of a task that is training answers in evaluation, with gradients."""
    training = [module for module in task.modules() if module.training]
    task.eval()
    try:
        # cuDNN has no gradients of recurrent layers in evaluation.
        with torch.backends.cudnn.flags(enabled=False):
            return task(batch)
    finally:
        for module in training:
            module.training = True
