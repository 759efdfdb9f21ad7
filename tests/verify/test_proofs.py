"""Proofs of a run: each passes where all is well, and fails on a plugin that is wrong in just what it proves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

import taskkit
from taskkit.cli import main
from taskkit.plugins.discovery import discover
from taskkit.recipe.load import load
from taskkit.verify.finding import Finding, Proof
from taskkit.verify.lab import Bounds
from taskkit.verify.proofs import verify
from taskkit.verify.workshop import workshops
from tests.conftest import Site

RECIPE = """
title: Waves
seed: 3
task: {name: %s.forecast%s}
model: {name: series.mlp}
data: {name: series.waves}
loader: {batch_size: 16}
optim: {lr: 1.0e-2, warmup: 0.1}
trainer: {max_epochs: 3, accelerator: cpu, precision: 32-true}
"""
SMALL = ("--steps", "4", "--kills", "1", "--json")
FAULTY = """
import os
from collections.abc import Iterable
from dataclasses import replace

import torch

from taskkit import Batch, Component, Step
from taskkit_series import forecast
from torchmetrics import MeanAbsoluteError


class Forecast(forecast.Forecast):
    steps = 0

    def forward(self, batch: Batch):
        outputs = super().forward(batch)
        if self.config.fault == "batch":
            outputs = outputs - outputs.mean(0)
        if self.config.fault == "delicate":
            outputs = outputs + 1000 - 1000
        return outputs

    def metrics(self):
        return {"mae": MeanAbsoluteError(sync_on_compute=self.config.fault != "apart")}

    def step(self, batch: Batch) -> Step:
        step = super().step(batch)
        self.steps += self.training
        if self.config.fault == "weight":
            return replace(step, count=1)
        if self.config.fault == "chance":
            return replace(step, loss=step.loss * (1 + os.urandom(1)[0] / 100))
        if self.config.fault == "hash":
            return replace(step, loss=step.loss * (1 + hash("waves") / 2**64))
        if self.config.fault == "memory":
            return replace(step, loss=step.loss * (1 + self.steps / 10))
        return step
"""
PLUGIN = """
from dataclasses import dataclass

from taskkit import Component, hookimpl, setting
from taskkit_series import sections


@dataclass
class Faulty(sections.Forecast):
    fault: str = setting("", "what is wrong")


@hookimpl
def taskkit_components():
    return [
        Component(
            kind="task",
            name="faulty.forecast",
            summary="wrong",
            implementation="faulty_task:Forecast",
            section="faulty_plugin:Faulty",
            targets=("taskkit_series.sections:Future",),
            metrics={"mae": "min"},
        )
    ]
"""
Prove = Callable[[Path, Sequence[Proof]], dict[Proof, Finding]]


@pytest.fixture(scope="module", autouse=True)
def installed(series_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Both plugins, for this process and those that it starts."""
    folder = tmp_path_factory.mktemp("proofs")
    site = Site(folder / "site")
    site.add("taskkit-faulty", {"faulty": "faulty_plugin"}, {"faulty_plugin.py": PLUGIN, "faulty_task.py": FAULTY})
    with pytest.MonkeyPatch.context() as patch:
        for place in (series_site, site.path):
            patch.syspath_prepend(str(place))
        patch.setenv("PYTHONPATH", f"{series_site}:{site.path}")
        patch.setenv("TASKKIT_CACHE", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        torch.set_num_threads(1)
        yield


@pytest.fixture(scope="module")
def prove(installed: None) -> Iterator[Prove]:
    """The findings of some proofs of a recipe; all trainings are forked from the same two processes."""
    plugins = discover(["series", "faulty"])
    with workshops(["taskkit_series.forecast", "faulty_task"], forks=True) as ready:

        def made(recipe: Path, proofs: Sequence[Proof]) -> dict[Proof, Finding]:
            loaded = load([recipe], [], plugins).recipe
            bounds = Bounds(steps=4, kills=1)
            return {found.proof: found for found in verify(loaded, plugins, proofs, bounds, ready=ready)}

        yield made


def verified(*words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """`taskkit verify … --json`: its exit code, and each finding by its proof."""
    ended = invoked(["verify", *words, *SMALL])
    assert ended.exit_code in (0, 1), ended.output
    found = json.loads(ended.stdout)
    assert found["ok"] == (ended.exit_code == 0)
    return ended.exit_code, {finding["proof"]: finding for finding in found["findings"]}


def invoked(words: Sequence[str]) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.fixture
def waves(tmp_path: Path) -> Path:
    path = tmp_path / "waves.yaml"
    path.write_text(RECIPE % ("series", ""))
    return path


def faulty(tmp_path: Path, fault: str) -> Path:
    path = tmp_path / "faulty.yaml"
    path.write_text(RECIPE % ("faulty", f", fault: {fault}"))
    return path


def test_all_is_well_with_a_run_and_what_was_found_is_kept_with_it(waves: Path, tmp_path: Path) -> None:
    run = taskkit.run(waves, out=tmp_path / "run", plugins=discover({"series"}))
    before = {path.name: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.is_file()}
    code, found = verified(str(run.path), "resume", "accumulate", "determinism", "devices", "order", "processes")
    assert code == 0, found
    assert {finding["outcome"] for finding in found.values()} == {"pass"}
    assert found["resume"]["largest"] == found["determinism"]["largest"] == 0
    assert len(found["resume"]["settings"]["killed_at"]) == 1
    assert 0 < found["accumulate"]["largest"] < 1e-5
    kept = json.loads((run.path / "verify.json").read_text())
    assert kept["schema"] == 1
    assert {finding["proof"]: finding for finding in kept["findings"]} == found
    assert {path.name: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.name in before} == before
    assert verified(str(run.path), "order")[0] == 0
    assert len(json.loads((run.path / "verify.json").read_text())["findings"]) == 6


@pytest.mark.parametrize(
    ("fault", "proofs"),
    [
        ("weight", ["accumulate", "devices"]),
        ("chance", ["determinism"]),
        ("hash", ["determinism"]),
        ("memory", ["resume"]),
        ("batch", ["batch-size", "order"]),
        ("apart", ["processes"]),
        ("delicate", ["precision"]),
    ],
)
def test_a_proof_fails_on_a_plugin_that_is_wrong_in_it(
    prove: Prove, tmp_path: Path, fault: str, proofs: list[Proof]
) -> None:
    found = prove(faulty(tmp_path, fault), proofs)
    assert {proof: finding.outcome for proof, finding in found.items()} == dict.fromkeys(proofs, "fail")
    for finding in found.values():
        assert finding.largest is not None
        assert finding.limit is not None
        assert finding.largest > finding.limit
        assert finding.where
        assert finding.advice


def test_a_recipe_without_steps_says_what_was_skipped_and_why(waves: Path) -> None:
    code, found = verified(str(waves), "trainer.max_epochs=0", "accumulate", "resume")
    assert code == 0
    assert [finding["outcome"] for finding in found.values()] == ["skipped", "skipped"]
    assert "takes no steps" in found["resume"]["compared"]


def test_what_it_says_fits_a_narrow_terminal(waves: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    ended = invoked(["verify", str(waves), "accumulate"])
    assert ended.exit_code == 0
    assert ended.output.startswith("accumulate: pass\n")
    assert max(map(len, ended.output.splitlines())) <= 40


def test_a_mistyped_proof_and_a_damaged_file_of_findings_are_told_before_any_work(waves: Path, tmp_path: Path) -> None:
    mistyped = invoked(["verify", str(waves), "acumulate"])
    assert mistyped.exit_code == 2
    assert "Did you mean 'accumulate'?" in mistyped.output
    run = tmp_path / "run"
    shutil.copytree(Path(__file__).parents[1] / "runs" / "0.1" / "text", run)
    (run / "verify.json").write_text("{")
    damaged = invoked(["verify", str(run), "order"])
    assert damaged.exit_code == 2
    assert f"{run / 'verify.json'}: cannot be read" in damaged.output


def test_the_exit_code_tells_of_a_proof_that_failed(tmp_path: Path) -> None:
    code, found = verified(str(faulty(tmp_path, "batch")), "order")
    assert (code, found["order"]["outcome"]) == (1, "fail")


def test_a_training_that_fails_is_told_with_what_it_said(waves: Path) -> None:
    ended = invoked(["verify", str(waves), "data.broken=true", "determinism"])
    assert ended.exit_code == 1
    assert "the training loss was nan" in ended.output
    assert "Traceback" not in ended.output
