"""A run that is stopped or killed anywhere, however often, ends as one that was not."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

import taskkit
from taskkit.contracts.hookspecs import hookimpl
from taskkit.engine.signals import Preempted
from taskkit.errors import DataError, RunFailedError, TaskkitError
from taskkit.plugins.discovery import discover
from taskkit.plugins.registry import Plugins
from tests.conftest import Site
from tests.same_run import losses, weights

RECIPE = """\
seed: 3
task: {name: series.forecast}
model: {name: series.mlp}
data: {name: series.waves, series: 40}
loader: {batch_size: 8}
optim: {lr: 1.0e-2, warmup: 0.1}
trainer: {max_epochs: 3, accelerator: cpu}
meter: {every_n_steps: 4, flops: false}
"""
"""Three epochs of four batches."""

BY_STEPS = ("trainer.max_epochs=null", "trainer.max_steps=10")
STOPS = ("early_stopping.patience=2", "early_stopping.min_delta=1", "trainer.max_epochs=9")
CASES = {
    "validations between epochs": (),
    "validations across epochs": ("trainer.val_check_interval=6",),
    "validations inside an accumulation": ("trainer.accumulate_grad_batches=3", "trainer.val_check_interval=2"),
    "by steps, validations inside epochs": (*BY_STEPS, "trainer.val_check_interval=3"),
    "two workers": ("loader.resident=no", "loader.workers=2", "trainer.max_epochs=2"),
    "stopped early": STOPS,
}


class Watch(pl.Callback):
    """Notes the examples of each batch that is trained on, and sends this process a signal at the start of one."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.seen: list[list[int]] = []

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, i: int) -> None:
        self.seen.append(batch.tensors["example"].tolist())
        if len(self.seen) == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)


def with_callback(callback: pl.Callback, *plugins: str) -> Plugins:
    class Plugin:
        @hookimpl
        def taskkit_callbacks(self, recipe: Any) -> list[pl.Callback]:
            return [callback]

    return discover({"series", *plugins}, extra={"watching": Plugin()})


@pytest.fixture(autouse=True)
def here(series_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(series_site))
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "waves.yaml").write_text(RECIPE)
    torch.set_num_threads(1)


def outcome(run: Path) -> dict[str, Any]:
    """All that two runs must have alike: the tested checkpoint, its results, the last weights, every logged line."""
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    return {
        "lines": losses(run),
        "last": {name: value.tolist() for name, value in weights(run).items()},
        "best": {name: value.tolist() for name, value in best["state_dict"].items()},
        "best step": best["global_step"],
        "metrics": json.loads((run / "run.json").read_text())["metrics"],
    }


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_a_run_that_is_stopped_again_and_again_is_trained_on_the_very_same_batches(
    changes: tuple[str, ...], tmp_path: Path
) -> None:
    straight = Watch()
    taskkit.run("waves.yaml", changes, out="straight", plugins=with_callback(straight))
    expected = outcome(tmp_path / "straight")
    # Workers take long to start; where they are, the order is that of one process.
    for each in (3,) if any("workers" in change for change in changes) else (1, 3):
        run, seen = tmp_path / f"stopped-after-{each}", []
        for _ in range(len(straight.seen) + 1):
            watch = Watch(stop_at=each)
            try:
                if not run.exists():
                    taskkit.run("waves.yaml", changes, out=run, plugins=with_callback(watch))
                else:
                    taskkit.resume(run, plugins=with_callback(watch))
            except Preempted:
                seen += watch.seen
                continue
            seen += watch.seen
            break
        assert seen == straight.seen
        assert outcome(run) == expected


@dataclass
class States:
    """Copies of a run directory as SIGKILL would leave it just before each file in it is replaced or grows."""

    into: Path
    of: Path | None = None
    copies: list[Path] = field(default_factory=list)

    def look(self, event: str, arguments: tuple[Any, ...]) -> None:
        watched, path = self.of, str(arguments[0]) if arguments else ""
        grows = event == "open" and path.endswith(".jsonl") and str(arguments[1]).startswith("a")
        if watched is None or not (event == "os.rename" or grows) or not path.startswith(f"{watched}/"):
            return
        self.of = None
        copy = self.into / f"{len(self.copies)}-before-{Path(path).name}"
        self.copies.append(Path(shutil.copytree(watched, copy)))
        self.of = watched


@contextmanager
def states(of: Path, into: Path) -> Iterator[list[Path]]:
    # An audit hook cannot be taken away; it does nothing once it watches nothing.
    found = States(into, of)
    sys.addaudithook(found.look)
    yield found.copies
    found.of = None


@pytest.mark.parametrize("name", [name for name in CASES if "inside" in name or "early" in name])
def test_a_run_that_is_killed_at_any_change_of_its_files_ends_as_one_that_was_not(name: str, tmp_path: Path) -> None:
    changes = (*CASES[name], "checkpoint.every_n_steps=1")
    straight = tmp_path / "straight"
    with states(straight, tmp_path / "killed") as killed:
        taskkit.run("waves.yaml", changes, out=straight, plugins=discover({"series"}))
    expected = outcome(straight)
    unfinished = [run for run in killed if (run / "run.json").exists()]
    assert len(unfinished) > 10
    for run in unfinished:
        taskkit.resume(run, plugins=discover({"series"}))
        assert outcome(run) == expected, run.name


def test_a_run_of_other_batches_than_were_planned_has_failed(tmp_path: Path) -> None:
    with pytest.raises(Preempted):
        taskkit.run("waves.yaml", out="run", plugins=with_callback(Watch(stop_at=6)))
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    saved = torch.load(last, weights_only=True)
    saved["callbacks"]["Checkpointer"]["batches"] += 1
    torch.save(saved, last)
    with pytest.raises(RunFailedError, match=r"12 steps on 13 batches\. 12 steps on 12 batches were expected"):
        taskkit.resume("run", plugins=discover({"series"}))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"


GROWING = """\
from dataclasses import replace
from pathlib import Path

from taskkit import Component, hookimpl
from taskkit_series.forecast import Waves

taskkit_api = ">=0.2,<0.3"


class Growing(Waves):
    def prepare(self, target):
        return Waves(replace(self.config, series=int(Path("count.txt").read_text()))).prepare(target)


@hookimpl
def taskkit_components():
    series, future = "taskkit_series.sections:Series", "taskkit_series.sections:Future"
    yield Component(
        kind="data",
        name="growing.waves",
        summary="as many waves as a file says",
        implementation="growing:Growing",
        section="taskkit_series.sections:Waves",
        input=series,
        targets=(future,),
    )
"""


def test_a_run_does_not_go_on_with_data_that_have_grown(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("growing", {"growing": "growing"}, {"growing.py": GROWING})
    monkeypatch.syspath_prepend(str(site.path))
    count, manifest = tmp_path / "count.txt", tmp_path / "run" / "run.json"
    stopping = with_callback(Watch(stop_at=6), "growing")
    count.write_text("40")
    with pytest.raises(Preempted):
        taskkit.run("waves.yaml", ["data={name: growing.waves}"], out="run", plugins=stopping)
    before = json.loads(manifest.read_text())
    count.write_text("50")
    with pytest.raises(
        DataError, match=r"series=40.* and is .*series=50.*train had 32 examples and has 40.*taskkit run"
    ):
        taskkit.resume("run", plugins=stopping)
    after = json.loads(manifest.read_text())
    assert after["data"] == before["data"]
    assert after["status"] == "failed"


def test_a_directory_in_which_nothing_was_trained_may_be_used_again(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"fewer than one batch"):
        taskkit.run("waves.yaml", ["loader.batch_size=64", "loader.drop_last=true"], out="run")
    assert taskkit.run("waves.yaml", out="run").status == "finished"
    with pytest.raises(TaskkitError, match=r"is not empty.*--resume run"):
        taskkit.run("waves.yaml", out="run")


@pytest.mark.parametrize("name", ["recipe.yaml", "log.txt", "notes"])
def test_a_directory_with_files_of_others_is_refused_and_nobody_is_sent_to_resume_it(name: str, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("mine")
    with pytest.raises(TaskkitError, match=r"is not empty.*Name another\.$"):
        taskkit.run("waves.yaml", out="mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [name]


class Second(pl.Callback):
    """Goes on with the run that is going on, in a process of its own."""

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        command = [sys.executable, "-m", "taskkit", "run"]
        ways = (["--resume", "run"], ["waves.yaml", "--out=run"])
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TASKKIT_PLUGINS": "series"}
        self.ended = [subprocess.run([*command, *way], env=environment, capture_output=True, text=True) for way in ways]


def test_a_second_process_is_told_which_one_writes_a_run(tmp_path: Path) -> None:
    second = Second()
    assert taskkit.run("waves.yaml", out="run", plugins=with_callback(second)).status == "finished"
    for ended in second.ended:
        assert ended.returncode == 2
        assert f"still going on, as process {os.getpid()}" in ended.stderr


class Full(pl.Callback):
    """Lets no file grow beyond eight kilobytes, as a full disk does, from the second epoch on."""

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.current_epoch == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def test_a_checkpoint_needs_no_room_but_beside_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of a folder for temporary files that is full, or on another file system, a run must not hear.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    assert taskkit.run("waves.yaml", out="run").status == "finished"
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 12


def test_a_full_disk_leaves_the_checkpoint_before_whole_and_says_so(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(RunFailedError, match=r"disk is full or a file is larger.*taskkit run --resume run"):
            taskkit.run("waves.yaml", out="run", plugins=with_callback(Full()))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    kept = tmp_path / "run" / "checkpoints"
    assert {path.name for path in kept.iterdir()} == {"last.ckpt", "best.ckpt"}
    assert torch.load(kept / "last.ckpt", weights_only=True)["global_step"] == 4
    assert taskkit.resume("run").status == "finished"
