"""Which validation is kept as the best."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

import taskkit
from taskkit.contracts.hookspecs import hookimpl
from taskkit.plugins.discovery import discover

RECIPE = """\
task: {name: series.forecast}
model: {name: series.mlp}
data: {name: series.waves, series: 40}
loader: {batch_size: 8}
trainer: {max_epochs: 3, accelerator: cpu}
meter: {flops: false}
"""


class Poison(pl.Callback):
    """Has weights that are not a number in the first validation, and as they were after it."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] | None = None

    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.kept is None:
            self.kept = {name: value.clone() for name, value in module.state_dict().items()}
            for parameter in module.parameters():
                parameter.data.fill_(math.nan)

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.kept:
            module.load_state_dict(self.kept)
            self.kept = {}


def test_a_score_that_is_not_a_number_is_never_the_best_and_nothing_is_left_elsewhere(
    series_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(series_site))
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(1)
    (tmp_path / "waves.yaml").write_text(RECIPE)

    class Plugin:
        @hookimpl
        def taskkit_callbacks(self, recipe: Any) -> list[pl.Callback]:
            return [Poison()]

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run = taskkit.run(
        tmp_path / "waves.yaml", out=tmp_path / "run", plugins=discover({"series"}, extra={"poison": Plugin()})
    )
    assert not list((tmp_path / "elsewhere").iterdir())
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    scores = [line["val/mae"] for line in lines if "val/mae" in line]
    assert math.isnan(scores[0])
    assert run.manifest.tested is not None
    assert run.manifest.tested.validation == min(scores[1:])
