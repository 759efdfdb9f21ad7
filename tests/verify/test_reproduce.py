"""`taskkit reproduce`: the same bits on the same machine, and an honest word where something is otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

import taskkit
from taskkit.cli import main
from taskkit.plugins.discovery import discover

RECIPE = """
title: Waves
seed: 3
task: {name: series.forecast}
model: {name: series.mlp}
data: {name: series.waves}
trainer: {max_epochs: 2, accelerator: cpu}
"""


@pytest.fixture
def run(series_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(series_site))
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(1)
    recipe = tmp_path / "waves.yaml"
    recipe.write_text(RECIPE)
    return taskkit.run(recipe, out=tmp_path / "run", plugins=discover({"series"})).path


def reproduced(run: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["reproduce", str(run), *words])


def changed(run: Path, **metrics: float) -> dict[str, object]:
    """The run's manifest, with other metrics."""
    found = json.loads((run / "run.json").read_text())
    found["metrics"] |= {f"test/{name}": value for name, value in metrics.items()}
    return found


def test_a_run_comes_out_the_same_to_the_bit(run: Path) -> None:
    ended = reproduced(run, "--json")
    assert ended.exit_code == 0, ended.output
    found = json.loads(ended.stdout)
    assert (found["agrees"], found["alike"], found["largest"], found["differing"]) == (True, True, 0, [])
    assert found["again"] == str(run.with_name("run_again"))
    assert taskkit.load_run(run.with_name("run_again")).metrics == taskkit.load_run(run).metrics


def test_another_score_on_the_same_machine_is_not_reproduced_however_near(run: Path) -> None:
    found = changed(run)
    (run / "run.json").write_text(json.dumps(changed(run, mae=found["metrics"]["test/mae"] + 1e-6)))  # type: ignore[index]
    ended = reproduced(run)
    assert ended.exit_code == 1
    assert "not reproduced: largest difference 1e-06 (test/mae); nothing is allowed" in ended.output


def test_with_other_software_it_says_what_and_how_far_the_scores_are_apart(run: Path) -> None:
    found = changed(run)
    found["environment"]["packages"]["torch"] = "1.0"  # type: ignore[index]
    found["metrics"]["test/mae"] += 0.005  # type: ignore[index]
    (run / "run.json").write_text(json.dumps(found))
    ended = reproduced(run)
    assert ended.exit_code == 0, ended.output
    assert "environment packages.torch" in ended.output
    assert "reproduced: largest difference 0.005 (test/mae); 0.01 is allowed" in ended.output
    assert reproduced(run, "--tolerance", "0.001").exit_code == 1


def test_a_run_that_did_not_finish_is_refused(run: Path) -> None:
    (run / "run.json").write_text(json.dumps({**changed(run), "status": "failed"}))
    ended = reproduced(run)
    assert ended.exit_code == 2
    assert "A finished run that was tested was expected" in ended.output
    assert not run.with_name("run_again").exists()
