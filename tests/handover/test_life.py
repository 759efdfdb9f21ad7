"""A run through all that follows training: exported twice, asked in every way, made smaller, explained."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import taskkit
from tests.handover.life import live

RECIPE = """
seed: 1
task: {name: text.classification}
model: {name: text.lstm, width: 16, depth: 1, max_length: 16}
data: {name: text.table, file: texts.csv}
loader: {batch_size: 32}
optim: {lr: 1.0e-2}
trainer: {max_epochs: 3, accelerator: cpu}
"""


def test_a_run_is_handed_over_in_every_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    draw = random.Random(1)
    words = {"good": ["fine", "great", "kind"], "bad": ["poor", "grim", "cruel"]}
    rows = [(" ".join(draw.choices([*words[label], "the", "film"], k=8)), label) for label in words for _ in range(60)]
    (tmp_path / "texts.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    taskkit.run("recipe.yaml", out="run")
    life = live(tmp_path / "run", tmp_path)
    assert life.faults == []
    assert life.cells["asked"] == "run, torch, onnx, HTTP"
    assert life.cells["explained"] == "integrated-gradients, adds up"
    assert "told apart" in life.cells["int8"]
