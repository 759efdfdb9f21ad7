"""An ordinary step goes a shorter way than Lightning's, and leaves all as Lightning's would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

import taskkit
from taskkit.contracts.hookspecs import hookimpl
from taskkit.engine import loop
from taskkit.engine.build import same
from taskkit.plugins.discovery import discover
from tests.same_run import losses

RECIPE = """\
seed: 3
task: {name: series.forecast}
model: {name: series.mlp}
data: {name: series.waves, series: 40}
loader: {batch_size: 8}
optim: {lr: 1.0e-2, warmup: 0.1}
trainer: {max_epochs: 3, accelerator: cpu, gradient_clip_val: 0.5}
meter: {every_n_steps: 4, flops: false}
"""
"""Three epochs of four batches."""

CASES = {
    "plain": (),
    "accumulation, with a rest, and validations inside it": (
        "trainer.accumulate_grad_batches=3",
        "trainer.val_check_interval=2",
    ),
    "bf16, values clipped": ("trainer.precision=bf16-mixed", "trainer.gradient_clip_algorithm=value"),
    "a mean of the weights, layers that thaw": ("optim.ema=0.9", "optim.freeze={'*bias': 5}"),
    "by steps, workers": ("trainer.max_epochs=null", "trainer.max_steps=6", "loader.resident=no", "loader.workers=1"),
}


class Hooks(pl.Callback):
    """Notes each hook of each step, and logs as callbacks of plugins may."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self.logged: list[float] = []

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, i: int) -> None:
        self.seen.append(("batch starts", i))

    def on_before_zero_grad(self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: Any) -> None:
        self.seen.append(("before zero_grad", trainer.global_step))

    def on_before_backward(self, trainer: pl.Trainer, module: pl.LightningModule, loss: Tensor) -> None:
        self.seen.append(("before backward", round(1e6 * float(loss.detach()))))

    def on_after_backward(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.seen.append(("after backward", trainer.global_step))

    def on_before_optimizer_step(self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: Any) -> None:
        self.seen.append((type(optimizer).__name__, trainer.global_step))

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, i: int
    ) -> None:
        self.seen.append(("batch ends", round(1e6 * float(outputs["scalars"]["loss"]))))
        module.log("seen", float(len(self.seen)), on_step=True, on_epoch=True, batch_size=batch.samples)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.logged.append(float(trainer.callback_metrics["seen_step"]))


@pytest.fixture(autouse=True)
def here(series_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(series_site))
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "waves.yaml").write_text(RECIPE)
    torch.set_num_threads(1)


def trained(name: str, changes: tuple[str, ...], hooks: pl.Callback | None) -> dict[str, Any]:
    """What a run left behind: its last checkpoint without clocks, and its lines."""

    class Plugin:
        @hookimpl
        def taskkit_callbacks(self, recipe: Any) -> list[pl.Callback]:
            return [] if hooks is None else [hooks]

    taskkit.run("waves.yaml", changes, out=name, plugins=discover({"series"}, extra={"watching": Plugin()}))
    saved: dict[str, Any] = torch.load(Path(name, "checkpoints", "last.ckpt"), weights_only=True)
    meter = next(state for key, state in saved["callbacks"].items() if "Meter" in key)
    del meter["seconds"], meter["energy"]
    return {**saved, "lines": losses(Path(name))}


@pytest.mark.parametrize("watched", [False, True], ids=["alone", "with callbacks of a plugin"])
@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_the_short_way_leaves_the_checkpoint_of_lightnings_way(
    changes: tuple[str, ...], watched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[bool] = []
    ordinary = loop.is_ordinary
    monkeypatch.setattr(loop, "is_ordinary", lambda *given: taken.append(ordinary(*given)) or taken[-1])
    short, long = (Hooks(), Hooks()) if watched else (None, None)
    ours = trained("short", changes, short)
    assert taken
    assert all(taken)
    monkeypatch.setattr(loop, "is_ordinary", lambda *given: False)
    theirs = trained("long", changes, long)
    assert [name for name in theirs if not same(ours.get(name), theirs[name])] == []
    if short is not None and long is not None:
        assert short.seen == long.seen
        assert len(short.seen) > 30
        assert short.logged == long.logged


def test_a_run_that_is_profiled_goes_lightnings_way(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bool] = []
    ordinary = loop.is_ordinary
    monkeypatch.setattr(loop, "is_ordinary", lambda *given: taken.append(ordinary(*given)) or taken[-1])
    trained("profiled", ("trainer.profiler=simple",), None)
    assert taken
    assert not any(taken)
