"""Steps that fp16 leaves out, by the scaler of gradients, which runs on any device."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from taskkit import DataSpec, Fact
from taskkit.batches.loader import HostBatch
from taskkit.contracts.recipe import OptimSection
from taskkit.engine.module import TaskModule
from taskkit.engine.optim import make_optimiser, moving_average
from tests.engine.test_weighing import OWNER, MeanSquare, Words


class Slope(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(0.5))

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return (self.slope * words) ** 2


def _fit(module: TaskModule, steps: int, **settings: Any) -> None:
    """Train on so many batches, all the same, under a real Trainer."""
    batch = HostBatch({"words": torch.tensor([[1.0, 2.0]])}, np.array([0]), 2)
    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(accelerator="cpu", max_epochs=1, **settings, **off)  # type: ignore[arg-type]
        trainer.fit(module, DataLoader([batch] * steps, batch_size=None))  # type: ignore[arg-type]


def fitted(first_scale: float) -> tuple[TaskModule, list[tuple[float, float, int]]]:
    """Three steps, and after each the rate, the weight and how many weights are averaged."""
    task = MeanSquare("examples", Slope(), Words(), DataSpec(Fact(), Fact(), "none"))
    seen: list[tuple[float, float, int]] = []

    def optimisers(module: TaskModule) -> Any:
        optimiser = SGD(module.task.parameters(), lr=0.01)
        schedule = LambdaLR(optimiser, lambda step: 0.5**step)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    module = TaskModule(task, OWNER, optimisers=optimisers)
    average = moving_average(0.5, module.host.skipped)

    class Look(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            copies = int(average._average_model.n_averaged)  # type: ignore[attr-defined]
            seen.append((rate, float(task.network.slope), copies))  # type: ignore[arg-type]

    scaler = torch.amp.GradScaler("cpu", init_scale=first_scale, backoff_factor=2.0**-40)
    _fit(module, 3, plugins=[MixedPrecision("16-mixed", "cpu", scaler)], callbacks=[average, Look()])
    return module, seen


def test_neither_schedule_nor_average_moves_with_a_step_that_overflowed(caplog: pytest.LogCaptureFixture) -> None:
    module, seen = fitted(first_scale=2.0**127)
    rates, slopes, copies = zip(*seen, strict=True)
    assert rates == (0.01, 0.005, 0.0025)
    assert slopes[0] == 0.5 > slopes[1] > slopes[2]
    assert copies == (0, 1, 2)
    assert module.host.skipped.count == 1
    assert "1 of 3 optimiser steps were left out, since gradients overflowed in fp16" in caplog.text


def test_where_nothing_overflows_all_move_and_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    _, seen = fitted(first_scale=2.0)
    assert [rate for rate, _, _ in seen] == [0.005, 0.0025, 0.00125]
    assert [copies for _, _, copies in seen] == [1, 2, 3]
    assert "left out" not in caplog.text


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_clipped_with_a_fused_optimiser_too(precision: Any) -> None:
    task = MeanSquare("examples", Slope(), Words(), DataSpec(Fact(), Fact(), "none"))
    section = OptimSection(name="sgd", lr=1.0, momentum=0.0)
    module = TaskModule(
        task, OWNER, optimisers=lambda m: make_optimiser(section, [{"params": list(m.task.parameters())}])
    )
    _fit(module, 1, precision=precision, gradient_clip_val=1e-6)
    assert module.trainer.optimizers[0].defaults["fused"]
    assert float(task.network.slope) == pytest.approx(0.5 - 1e-6, abs=2e-7)  # type: ignore[arg-type]
