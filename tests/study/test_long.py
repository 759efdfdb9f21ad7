"""What takes minutes: studies killed at random moments, a whole search, a cross-validation of a thousand examples."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import psutil
import pytest

from taskkit.runs.rows import read_rows
from tests.same_run import assert_same_run
from tests.study.conftest import Bench

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

STUDY = """\
recipes:
  narrow: {recipe: one.yaml, changes: {trainer.max_epochs: 60}}
  wide: {recipe: one.yaml, changes: {trainer.max_epochs: 60, model.width: 32}}
vary: {seed: [1, 2]}
report: false
launch: {processes: 2}
"""
KILLS = 20


def until(study: subprocess.Popen[str], seconds: float) -> bool:
    """Whether a study still goes on after so many seconds of its own and its runs' processors."""
    try:
        study.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def test_a_study_killed_at_twenty_random_moments_loses_nothing_and_repeats_nothing(own_bench: Bench) -> None:
    own_bench.write(STUDY)
    straight = own_bench.study("--out=straight")
    assert straight.returncode == 0, straight.stderr
    moments, kills = random.Random(0), 0
    for _ in range(KILLS):
        study = own_bench.begin()
        if not until(study, moments.uniform(0.2, 12)):
            assert study.returncode == 0, study.communicate()
            continue
        own_bench.end_all(study, alone=moments.random() < 0.5)
        kills += 1
        json.loads((own_bench.path / "study.json").read_text()) if (own_bench.path / "study.json").exists() else None
    ended = own_bench.study()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert kills
    for cell in own_bench.record.cells:
        assert_same_run(own_bench.path / cell.name, own_bench.folder / "straight" / cell.name)
        assert cell.status == "finished"
    assert not [
        each for each in psutil.process_iter(["cmdline"]) if str(own_bench.path) in " ".join(each.info["cmdline"] or [])
    ]


def test_a_search_of_thirty_trials_survives_kills_prunes_and_beats_its_start(own_bench: Bench) -> None:
    pytest.importorskip("optuna")
    over = "{optim.lr: {low: 1.0e-5, high: 1.0, log: true}, model.width: [4, 8, 16, 32]}"
    own_bench.write(
        "recipes: {one: {recipe: one.yaml, changes: {trainer.max_epochs: 12, optim.lr: 1.0e-4}}}\n"
        f"search: {{over: {over}, trials: 30, pruner: median}}\nreport: false\nlaunch: {{processes: 2}}\n"
    )
    moments = random.Random(1)
    for alone in (True, False, False):
        study = own_bench.begin()
        assert until(study, moments.uniform(15, 40)), study.communicate()
        own_bench.end_all(study, alone=alone)
    ended = own_bench.study()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    record = own_bench.record
    trials = [cell for cell in record.cells if cell.trial is not None]
    assert len(trials) == 30
    assert {cell.status for cell in trials} >= {"finished", "pruned"}
    (search,) = record.searches
    best = next(cell.trial for cell in trials if cell.name == search.best)
    assert best is not None
    assert best.value is not None
    assert search.start is not None
    assert best.value < search.start
    assert not any(own_bench.manifest(cell.name)["metrics"] for cell in trials)
    (asked,) = record.tests
    assert asked.times == 1
    print(ended.stdout)


def test_a_cross_validation_of_a_thousand_examples_gives_one_estimate(own_bench: Bench) -> None:
    own_bench.write(
        "recipes: {one: {recipe: one.yaml, changes: {data.series: 1000, loader.batch_size: 64}}}\nfolds: 5\n"
        "launch: {processes: 2}\n"
    )
    ended = own_bench.study()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (made,) = own_bench.record.derived
    assert made.low is not None
    assert made.high is not None
    assert made.low < made.value < made.high
    rows = read_rows(own_bench.path / made.name / "predictions.parquet").to_pylist()
    assert len({row["id"] for row in rows}) == 1000
    assert Path(own_bench.path, "report.html").exists()
    print(made)
