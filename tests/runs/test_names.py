"""The names of new run directories."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskkit.runs.record import new_directory, run_label


def test_a_name_says_the_seed_and_the_first_changes() -> None:
    changes = {
        ("optim", "lr"): 0.001,
        ("model", "name"): "image.vit",
        ("data", "root"): "some/where/big images",
        ("a",): 1,
    }
    assert run_label(3, {}) == "seed=3"
    assert run_label(3, {("seed",): 3, ("optim", "lr"): 0.001}) == "seed=3_lr=0.001"
    assert run_label(0, changes) == "seed=0_lr=0.001_model=image.vit_root=big-images_and-1-more"


def test_a_name_is_one_folder_whatever_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    label = run_label(0, {("title",): "../../ü " * 50, ("optim", "betas"): [0.9, 0.99], ("optim", "ema"): None})
    one, other = new_directory(None, "vit", label), new_directory(None, "vit", label)
    assert one.parent == other.parent == Path("runs/vit")
    assert one != other
    assert one.name.endswith("_ema=null")
    assert len(one.name) < 150
