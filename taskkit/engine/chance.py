"""The first loss of a run beside the one that chance gives: far from it, something is wrong from the start."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl

from taskkit.contracts.component import Chosen
from taskkit.contracts.task import Task
from taskkit.engine.guard import calling
from taskkit.errors import RunFailedError
from taskkit.wording import TELL_AUTHORS

FAR = 2.0
"""A first loss is far from chance when one is so many times the other; the shipped recipes keep within 1.1."""


class FirstLoss(pl.Callback):
    """Says what the first batch of a run cost, once, and remarks where that is far from chance."""

    def __init__(self, chance: float, pretrained: bool, output: Callable[[str], None]) -> None:
        self.chance = chance
        self.pretrained = pretrained
        self.output = output
        self._told = False

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Read the loss of the first batch; of a run that is gone on with there is none."""
        if self._told:
            return
        self._told = True
        if trainer.global_step > 1:
            return
        loss = float(outputs["scalars"]["loss"])
        self.output(in_words(loss, self.chance))
        if (remark := far_off(loss, self.chance, pretrained=self.pretrained)) is not None:
            self.output(remark)


def chance_of(task: Task, owner: Chosen) -> float | None:
    """The loss that chance gives, None where the task does not know; raises RunFailedError for what is no number."""
    with calling(owner, "chance"):
        chance = task.chance()
    if chance is None or (isinstance(chance, int | float) and math.isfinite(chance)):
        return chance
    raise RunFailedError(
        f"{owner.name} ({owner.plugin}): `chance` returned {chance!r}. A finite number was expected, or None where it "
        f"is not known. {TELL_AUTHORS}"
    )


def in_words(loss: float, chance: float | None) -> str:
    """`first loss 2.3318; chance gives 2.3026`."""
    known = "what chance gives is not known" if chance is None else f"chance gives {chance:.4f}"
    return f"first loss {loss:.4f}; {known}"


def far_off(loss: float, chance: float | None, *, pretrained: bool) -> str | None:
    """What a first loss that is far from chance tells; None where it is near, or nobody knows.

    Pretrained weights may know more than chance.
    """
    if chance is None or chance <= 0 or not math.isfinite(loss):
        return None
    if loss > FAR * chance:
        return (
            f"The first loss is {loss / chance:.1f} times what chance gives ({loss:.4g}; {chance:.4g}): the network is "
            "sure of wrong answers before it has learnt anything. Look at how its last layer is initialised, at the "
            "scale of its inputs, and whether the targets are those that the loss expects."
        )
    if loss < chance / FAR and not pretrained:
        return (
            f"The first loss is {loss / chance:.2f} of what chance gives ({loss:.4g}; {chance:.4g}), though nothing "
            "has been learnt. Look whether the targets are among the inputs, or nearly all the same."
        )
    return None
