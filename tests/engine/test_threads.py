"""Threads of torch: chosen by what is free, recorded, and kept by a run that is gone on with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import taskkit
from taskkit import cores
from taskkit.engine.signals import Preempted
from taskkit.engine.threads import chosen
from taskkit.plugins.discovery import discover
from tests.engine.test_resume import RECIPE, Watch, with_callback

FREE = 0.2


@pytest.fixture
def waves(series_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A recipe, where two cores could be used and hardly one is free."""
    monkeypatch.syspath_prepend(str(series_site))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cores, "usable", lambda: {0, 1})
    monkeypatch.setattr(cores, "free", lambda: FREE)
    path, before = tmp_path / "waves.yaml", torch.get_num_threads()
    path.write_text(RECIPE)
    yield path
    torch.set_num_threads(before)


def recorded(run: Path) -> Any:
    return json.loads((run / "run.json").read_text())["environment"]["threads"]


def test_as_many_threads_as_cores_are_free_and_one_at_least() -> None:
    assert [chosen(free, 8) for free in (-0.2, 0.0, 0.4, 1.4, 1.6, 7.9, 8.3)] == [1, 1, 1, 1, 2, 8, 8]


def test_what_this_process_computes_is_free_and_what_others_do_is_not() -> None:
    one = cores.Reading(at=100.0, idle=50.0, own=7.0)
    assert cores.between(one, cores.Reading(at=110.0, idle=70.0, own=7.0)) == 2.0
    assert cores.between(one, cores.Reading(at=110.0, idle=60.0, own=17.0)) == 2.0
    assert cores.between(one, cores.Reading(at=110.0, idle=52.0, own=15.0)) == 1.0


def test_a_process_that_computes_is_seen_as_its_own_alone() -> None:
    own = cores.read().own
    subprocess.run([sys.executable, "-c", "sum(i * i for i in range(3_000_000))"], check=True)
    assert cores.read().own > own + 0.05


def test_a_run_says_and_records_what_it_chose_and_goes_on_with_it(
    waves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with pytest.raises(Preempted):
        taskkit.run(waves, out=run, plugins=with_callback(Watch(stop_at=6)))
    assert recorded(run) == 1
    said = f"computes with 1 of 2 threads: {FREE} cores are free (trainer.threads sets how many)"
    assert said in (run / "log.txt").read_text().splitlines()[0]
    monkeypatch.setattr(cores, "free", lambda: 2.0)
    taskkit.resume(run, plugins=discover({"series"}))
    assert recorded(run) == 1
    taskkit.run(waves, out=tmp_path / "other", plugins=discover({"series"}))
    assert recorded(tmp_path / "other") == 2


def test_a_recipe_and_the_environment_choose_before_the_load_does(
    waves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taskkit.run(waves, ["trainer.threads=2"], out=tmp_path / "two", plugins=discover({"series"}))
    assert recorded(tmp_path / "two") == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    taskkit.run(waves, out=tmp_path / "set", plugins=discover({"series"}))
    assert recorded(tmp_path / "set") == 2
    assert "threads" not in (tmp_path / "set" / "log.txt").read_text()
