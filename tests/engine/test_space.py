"""How large a checkpoint is, known before one is written."""

from pathlib import Path

import pytest

import taskkit
from taskkit.contracts.recipe import OptimSection
from taskkit.engine import build
from taskkit.engine.space import checkpoint_bytes, kept_per_weight
from taskkit.plugins.discovery import discover
from taskkit.recipe.load import load

RECIPE = """
task: {name: series.forecast}
model: {name: series.mlp, width: 2048}
data: {name: series.waves}
loader: {batch_size: 64}
trainer: {max_epochs: 1, accelerator: cpu}
"""


@pytest.mark.parametrize(
    ("name", "kept"), [("adamw", 2), ("sgd", 1), ("rmsprop", 1), ("adafactor", 0.125), ("lbfgs", 0)]
)
def test_what_an_optimiser_keeps_of_each_weight_is_found_by_a_step(name: str, kept: float) -> None:
    assert kept_per_weight(OptimSection(name=name)) == kept


@pytest.mark.parametrize("changes", [[], ["optim.name=sgd"], ["optim.ema=0.9"], ["optim.freeze={'hidden.*': null}"]])
def test_a_checkpoint_is_as_large_as_was_said(
    changes: list[str], series_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(series_site))
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    plugins = discover({"series"})
    path = tmp_path / "wide.yaml"
    path.write_text(RECIPE)
    recipe = load([path], changes, plugins).recipe
    said = checkpoint_bytes(build.build(recipe, build.prepare(build.data_module(recipe), recipe)))
    taskkit.run(path, changes, out=tmp_path / "run", plugins=plugins)
    written = (tmp_path / "run" / "checkpoints" / "last.ckpt").stat().st_size
    assert said == pytest.approx(written, rel=0.15)
