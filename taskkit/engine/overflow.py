"""Optimiser steps that fp16 leaves out, since a gradient overflowed: what follows a step must not follow these."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl

log = logging.getLogger("taskkit")


class Skipped:
    """Notices which optimiser steps are left out; Lightning counts them, and would move schedule and average on."""

    def __init__(self) -> None:
        self.scaler: Any = None
        self.last = False
        """Whether the latest step was."""
        self.count = 0

    def open(self, trainer: pl.Trainer) -> None:
        """Begin with what scales the losses of this trainer, if anything does."""
        self.scaler = getattr(trainer.precision_plugin, "scaler", None)
        self.last, self.count = False, 0

    def watch(self, step: Callable[[], Any]) -> None:
        """Take a step; it is left out where the scale is smaller after it."""
        if self.scaler is None:
            step()
            return
        before = self.scaler.get_scale()
        step()
        self.last = self.scaler.get_scale() < before
        self.count += self.last

    def tell(self, steps: int) -> None:
        """Say how many of so many steps were left out, if any."""
        if self.count:
            log.warning(
                "%d of %d optimiser steps were left out, since gradients overflowed in fp16: a few at the beginning "
                "are usual. Where they are many, lower optim.lr, clip gradients or take trainer.precision=bf16-mixed",
                self.count,
                steps,
            )
