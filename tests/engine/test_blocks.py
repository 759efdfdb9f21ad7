"""Activations that are computed again: the same training, to the bit, of which less is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import taskkit
from taskkit.engine import build
from taskkit.engine.blocks import called_blocks, recompute
from taskkit.engine.loaders import make_loaders
from taskkit.errors import TaskkitError
from taskkit.plugins.discovery import discover
from taskkit.recipe.load import load

RECIPE = """
seed: 1
task: {name: image.classification}
model: {name: image.vit, patch: 2, width: 32, depth: 4, heads: 2, dropout: 0.2}
data: {name: image.digits}
loader: {batch_size: 64}
optim: {lr: 1.0e-2, ema: 0.9}
trainer: {max_steps: 12, accelerator: cpu, precision: bf16-mixed, gradient_clip_val: 1.0}
meter: {every_n_steps: 1, flops: false}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    path = tmp_path / "vit.yaml"
    path.write_text(RECIPE)
    return path


def kept(step: Callable[[], Tensor]) -> int:
    """The bytes that a step keeps for its gradients."""
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        sizes[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        step()
    return sum(sizes.values())


def test_the_same_is_trained(recipe: Path) -> None:
    plain, again = (taskkit.run(recipe, [f"activation_checkpointing={on}"], out=on) for on in ("false", "true"))
    assert again.metrics == plain.metrics
    lines = [list(map(json.loads, (run.path / "metrics.jsonl").read_text().splitlines())) for run in (plain, again)]
    losses = [[line["train/loss"] for line in of if "train/loss" in line] for of in lines]
    assert len(losses[0]) == 12
    assert losses[0] == losses[1]
    weights = [
        torch.load(run.path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for run in (plain, again)
    ]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_less_is_kept(recipe: Path) -> None:
    resolved = load([recipe], [], discover()).recipe
    prepared = build.prepare(build.data_module(resolved), resolved)
    built = build.build(resolved, prepared)
    loader = make_loaders(built, prepared, lambda split: None)["train"]
    loader.place(torch.device("cpu"), rank=0, world=1)
    batch = next(iter(loader)).tensors
    built.task.train()

    def step() -> Tensor:
        loss = built.task.step(batch).loss
        assert loss is not None
        return loss

    whole = kept(step)
    recompute(called_blocks(built.network, built.model.blocks(built.network)))
    assert kept(step) < 0.3 * whole


def test_what_cannot_be_computed_twice_is_refused(recipe: Path) -> None:
    changes = ["activation_checkpointing=true"]
    with pytest.raises(TaskkitError, match=r"image\.vit does not say what the blocks of its network are"):
        build._check_recomputable(load([recipe], changes, discover()).recipe, [])
    with pytest.raises(TaskkitError, match=r"image\.resnet has norms that keep statistics of batches"):
        taskkit.run(recipe, [*changes, "model={name: image.resnet, widths: [4, 4], depths: [1, 1]}"], out="resnet")
