"""What a terminal shows of a study that goes on."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from taskkit.plugins.discovery import discover
from taskkit.runs.study import CellRecord, TrialRecord
from taskkit.study import file as files
from taskkit.study.display import Lines, Moving, in_words
from taskkit.study.plan import Cell, plan
from tests.study.conftest import RECIPE


@pytest.fixture
def cell(series_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cell:
    """A run that has logged something, below the working directory."""
    monkeypatch.syspath_prepend(str(series_site))
    monkeypatch.chdir(tmp_path)
    Path("one.yaml").write_text(RECIPE)
    Path("study.yaml").write_text("recipes: [one.yaml]\n")
    (found,) = plan(files.read(Path("study.yaml")), discover({"series"}))
    Path(found.name).mkdir(parents=True)
    lines = [{"step": 5, "epoch": 0, "train/loss": 1.0}, {"step": 7, "epoch": 0, "val/mae": 0.25, "val/loss": 2.0}]
    Path(found.name, "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines) + '{"step": 9')
    return found


def test_a_terminal_shows_how_far_each_run_is_and_a_line_for_each_that_ended(cell: Cell) -> None:
    said = io.StringIO()
    display = Moving(Console(file=said, force_terminal=True, width=100), Path(), 4, 1)
    running = CellRecord(cell.name, cell.recipe, status="running")
    display.changed(running)
    display.look([(cell, 65.0)])
    display.changed(replace(running, status="finished", metric="mae", score=0.1, seconds=3.0))
    display.changed(replace(running, name="one/trials/0", status="pruned", trial=TrialRecord(0, 0.5)))
    display.look([])
    display.close()
    assert "one/seed=3  step 7  epoch 1/2  val/mae 0.2500" in said.getvalue()
    assert "1 of 4 done" in said.getvalue()
    assert "one/seed=3: finished, test/mae 0.1000, trained in 3.0 s" in said.getvalue()
    assert "2 of 4 done, 1 tried in searches" in said.getvalue()


def test_elsewhere_each_change_is_a_line() -> None:
    said = list[str]()
    display = Lines(said.append)
    for status in ("running", "failed"):
        display.changed(CellRecord("one/seed=3", "one", status=status, reason="a full disk"))  # type: ignore[arg-type]
    assert said[-1] == "one/seed=3: failed: a full disk"


def test_a_trial_is_told_with_its_values_and_its_validation() -> None:
    trial = CellRecord("one/trials/4", "one", {"optim.lr": 0.1}, "finished", trial=TrialRecord(4, 0.25))
    assert in_words(trial) == "one/trials/4: finished, validation 0.2500 by optim.lr=0.1"
