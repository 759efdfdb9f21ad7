"""`channels_last` is another order in memory and no other network."""

from pathlib import Path

import pytest
import torch

import taskkit

RECIPE = "patterns.yaml"
SHORT = ["trainer.max_epochs=2"]
RESNET = ["model.name=image.resnet", "model.widths=[8, 16]", "model.depths=[1, 1]"]


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the recipe's path to its data begins."""
    monkeypatch.chdir(Path(__file__).parent)


def test_convolutions_keep_their_channels_last_and_learn_the_same(tmp_path: Path) -> None:
    plain = taskkit.run(RECIPE, [*SHORT, *RESNET], out=tmp_path / "plain")
    last = taskkit.run(RECIPE, [*SHORT, *RESNET, "channels_last=true"], out=tmp_path / "last")
    weights = [p for p in last.built.network.parameters() if p.dim() == 4 and p.shape[1] > 1]
    assert weights
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    losses = [[line["train/loss"] for line in run.history() if "train/loss" in line] for run in (plain, last)]
    assert losses[0]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert last.evaluate().metrics == last.metrics


def test_a_network_without_convolutions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(taskkit.TaskkitError, match=r"image.mlp has no 2-d convolution.* Leave channels_last out"):
        taskkit.run(RECIPE, [*SHORT, "model.name=image.mlp", "channels_last=true"], out=tmp_path / "run")
