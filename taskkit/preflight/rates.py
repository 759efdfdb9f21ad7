"""Which learning rate to begin with, by a short training whose rate rises from step to step (Smith, 2017)."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from rich.console import Console

from taskkit import api
from taskkit.engine.placement import trained_alone
from taskkit.errors import NonfiniteError, TaskkitError
from taskkit.plugins.registry import Plugins
from taskkit.recipe import load as recipes

SMOOTH = 0.9
"""The share of what came before in a smoothed loss."""
DIVERGED = 4.0
"""A smoothed loss of so many times the least ends the training: higher rates say nothing more."""
FIRST = 10
"""Steps whose losses are not smooth yet."""
ROWS = 16
"""Lines of the curve that a person reads."""


@dataclass(frozen=True)
class Curve:
    """Rates and the losses that they gave, step by step."""

    rates: Sequence[float]
    losses: Sequence[float]
    """Smoothed over the steps before, without their bias."""
    recipes: float
    """The rate that the recipe has."""
    ended: bool
    """Whether the loss went out of bounds before the last rate."""

    @property
    def suggested(self) -> float | None:
        """Where the loss falls fastest by the logarithm of the rate; None where it falls nowhere."""
        slopes = self._slopes()
        steepest = min(slopes, key=lambda each: each[1], default=None)
        return steepest[0] if steepest is not None and steepest[1] < 0 else None

    def lines(self) -> Iterator[str]:
        """The curve, and what it says."""
        step = max(1, len(self.rates) // ROWS)
        yield f"{'lr':>9}  loss"
        for rate, loss in list(zip(self.rates, self.losses, strict=True))[::step]:
            yield f"{rate:9.1e}  {loss:.4g}"
        yield ""
        if self.ended:
            after = f"After {self.rates[-1]:.1e}" if self.rates else "At the first rate"
            yield f"{after} the loss was out of bounds, and the training was ended."
        found = self.suggested
        if found is None:
            yield "The loss falls nowhere: no rate is suggested. Look for what is wrong: taskkit check --deep RECIPE"
            return
        yield f"The loss falls fastest near optim.lr={found:.1e}; the recipe has {self.recipes:.1e}."
        yield "That is a rate to begin with, by the training split alone. `taskkit study` compares rates by validation."

    def _slopes(self) -> list[tuple[float, float]]:
        """Rates, and how the loss changes there for each factor of e, but at the ends, which say little."""
        logs = [math.log(rate) for rate in self.rates]
        lowest = min(range(len(self.losses)), key=self.losses.__getitem__, default=0)
        return [
            (self.rates[n], (self.losses[n + 1] - self.losses[n - 1]) / (logs[n + 1] - logs[n - 1]))
            for n in range(FIRST, min(lowest + 1, len(logs) - 1))
        ]


class Rising(pl.Callback):
    """Gives each optimiser step a rate of its own, and ends the training where the loss goes out of bounds."""

    def __init__(self, rates: Sequence[float], of: float) -> None:
        self.rates = rates
        self.of = of
        self.seen: list[float] = []
        self.ended = False
        self._mean = 0.0
        self._batches: list[torch.Tensor] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Raise TaskkitError for a task of several phases, each with steps and rates of its own."""
        if not pl_module.automatic_optimization:
            raise TaskkitError(
                "This task trains in phases, each with a rate of its own, and one rate for all is not looked for. Set "
                "the rate of each in optim.phases, and compare some with: taskkit study STUDY.yaml"
            )

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the rate; groups of parameters keep theirs in proportion."""
        rate = self.rates[min(trainer.global_step, len(self.rates) - 1)]
        for optimiser in trainer.optimizers:
            for group in optimiser.param_groups:
                group["lr"] = rate * group["initial_lr"] / self.of

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the loss of the steps that are done."""
        self._batches.append(outputs["scalars"]["loss"])
        if trainer.global_step == len(self.seen):
            return
        loss = float(torch.stack(self._batches).mean())
        self._batches = []
        self._mean = SMOOTH * self._mean + (1 - SMOOTH) * loss
        smooth = self._mean / (1 - SMOOTH ** (len(self.seen) + 1))
        least = min(self.seen, default=smooth)
        out = not math.isfinite(smooth) or (len(self.seen) > FIRST and smooth - least > (DIVERGED - 1) * abs(least))
        if out:
            self.ended = trainer.should_stop = True
        else:
            self.seen.append(smooth)


def look(
    files: Sequence[str | Path], overrides: Sequence[str], plugins: Plugins, steps: int, low: float, high: float
) -> Curve:
    """Train a recipe for so many steps with rates from `low` to `high`, of which nothing is left.

    Raises RecipeError for a recipe that is wrong, TaskkitError for one that takes no steps or trains in phases, and
    what a run of it would.
    """
    r = recipes.load(files, overrides, plugins).recipe
    if r.trainer.max_epochs == 0:
        raise TaskkitError("trainer.max_epochs is 0: this recipe takes no steps. Raise it to look for a learning rate.")
    held = [
        *overrides,
        f"trainer.max_steps={steps}",
        "trainer.max_epochs=null",
        "optim.schedule=constant",
        "optim.warmup=0",
        "optim.hold=0",
        "optim.ema=null",
    ]
    resolved = recipes.load(files, held, plugins)
    rates = [low * (high / low) ** (number / (steps - 1)) for number in range(steps)]
    rising, threads = Rising(rates, r.optim.lr), torch.get_num_threads()
    # A loss that is no number ends the training, and is no fault of the recipe.
    meter = replace(resolved.recipe.meter, every_n_steps=steps + 1, flops=False)
    short = replace(trained_alone(resolved.recipe), meter=meter)
    with tempfile.TemporaryDirectory(prefix="taskkit-find-") as folder, Path(os.devnull).open("w") as nowhere:
        try:
            api.start(
                replace(resolved, recipe=short), plugins, Path(folder, "run"), Console(file=nowhere), callbacks=[rising]
            )
        except NonfiniteError:
            rising.ended = True
        finally:
            torch.set_num_threads(threads)
    return Curve(rates[: len(rising.seen)], rising.seen, r.optim.lr, rising.ended)
