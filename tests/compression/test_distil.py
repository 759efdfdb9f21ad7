"""A student learns from a teacher's answers: by the loss of the paper, to the bit, and only where that is right."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch.nn import functional as F  # noqa: N812 - the field's own name

import taskkit
from taskkit.contracts.hookspecs import hookimpl
from taskkit.contracts.recipe import DistilSection
from taskkit.contracts.task import Step
from taskkit.engine import build, describe, teaching
from taskkit.engine.distil import Lesson
from taskkit.engine.loaders import make_loaders
from taskkit.engine.signals import Preempted
from taskkit.plugins.discovery import discover
from tests.same_run import assert_same_run, losses

ROOT = Path(__file__).parents[2]
DIGITS = """
title: {title}
seed: 1
task: {{name: image.classification}}
model: {model}
data: {{name: image.digits}}
loader: {{batch_size: 64, resident: "no"}}
optim: {{lr: 5.0e-3, warmup: 0.1}}
trainer: {{max_epochs: {epochs}, accelerator: cpu, precision: 32-true}}
meter: {{every_n_steps: 1, flops: false}}
"""


@pytest.fixture(scope="module")
def digits(series_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder, which is the working directory, with a teacher of digits and the recipe of a student."""
    folder = tmp_path_factory.mktemp("digits")
    (folder / "teacher.yaml").write_text(
        DIGITS.format(title="Teacher", model="{name: image.mlp, widths: [64], dropout: 0.1}", epochs=4)
    )
    (folder / "student.yaml").write_text(
        DIGITS.format(title="Student", model="{name: image.mlp, widths: [6], dropout: 0.1}", epochs=2)
    )
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(series_site))
        patch.chdir(folder)
        patch.setenv("TASKKIT_CACHE", str(folder / "cache"))
        taskkit.run("teacher.yaml", out="teacher")
        taskkit.run("student.yaml", out="plain")
        yield folder


@pytest.fixture(scope="module")
def taught(digits: Path) -> Path:
    """A student that learnt from the teacher, by the defaults."""
    taskkit.run("student.yaml", ["distil.teacher=teacher"], out="taught")
    return digits / "taught"


def without_shares(run: Path) -> list[dict[str, Any]]:
    """The logged lines as a run without a teacher has them."""
    return [
        {k: v for k, v in line.items() if k not in ("train/task_loss", "train/teacher_loss")} for line in losses(run)
    ]


def test_the_loss_is_that_of_the_paper() -> None:
    torch.manual_seed(0)
    table, logits, examples = torch.randn(9, 5), torch.randn(4, 5, requires_grad=True), torch.tensor([7, 0, 3, 3])
    own = F.cross_entropy(logits, torch.tensor([1, 2, 0, 4]))

    def loss(temperature: float, alpha: float) -> torch.Tensor:
        lesson = Lesson(table, DistilSection("teacher", temperature, alpha))
        found = lesson.taught(Step(own, 4), logits, examples).loss
        assert found is not None
        return found

    asked, said = (logits / 3).softmax(-1), (table[examples] / 3).softmax(-1)
    by_hand = 9 * (said * (said / asked).log()).sum(-1).mean()
    assert loss(3, 1).item() == pytest.approx(by_hand.item(), rel=1e-5)
    of_torch = 9 * F.kl_div(asked.log(), said, reduction="batchmean")
    assert loss(3, 1).item() == pytest.approx(of_torch.item(), rel=1e-5)
    assert loss(3, 0.25).item() == pytest.approx(0.25 * by_hand.item() + 0.75 * own.item(), rel=1e-5)
    assert loss(3, 0).item() == own.item()
    (gradient,) = torch.autograd.grad(loss(3, 1), logits)
    assert torch.allclose(gradient, 3 * (asked - said) / 4, atol=1e-6)


def test_a_student_is_taught_what_the_teacher_answers_to_each_example(digits: Path) -> None:
    teacher = taskkit.load_run("teacher")
    plugins = discover()
    recipe = taskkit.load_run("plain").built.recipe
    prepared = build.prepare(build.data_module(recipe), recipe)
    student = build.build(recipe, prepared)
    before = torch.get_rng_state()
    section = DistilSection("teacher")
    loader = make_loaders(student, prepared, lambda split: None)["train"]
    found = teaching.taught(section, student, describe.protocol(student), prepared, loader, plugins, digits / "plain")
    assert torch.equal(torch.get_rng_state(), before)
    examples = prepared.examples("train")
    assert len(found.lesson.logits) == len(examples)
    for number in (0, 1, 700, len(examples) - 1):
        answered = teacher.answerer
        samples = answered.encode(examples[number])
        batch = {name: value[None] for name, value in samples[0].items()}
        with torch.no_grad():
            logits = teacher.built.task(batch)[0]
        assert torch.allclose(found.lesson.logits[number], logits, atol=1e-5)


def test_a_teacher_without_a_share_changes_nothing(digits: Path) -> None:
    taskkit.run("student.yaml", ["distil.teacher=teacher", "distil.alpha=0"], out="alone")
    assert without_shares(digits / "alone") == losses(digits / "plain")
    ours, theirs = (
        torch.load(digits / each / "checkpoints" / "last.ckpt", weights_only=True) for each in ("alone", "plain")
    )
    assert all(torch.equal(ours["state_dict"][name], value) for name, value in theirs["state_dict"].items())
    assert taskkit.load_run("alone").metrics == taskkit.load_run("plain").metrics


def test_the_shares_of_the_loss_are_logged_and_validation_has_the_tasks_own(taught: Path) -> None:
    trained = [line for line in losses(taught) if "train/teacher_loss" in line]
    for line in trained:
        shared = 0.5 * line["train/teacher_loss"] + 0.5 * line["train/task_loss"]
        assert line["train/loss"] == pytest.approx(shared, rel=1e-4)
    assert trained[0]["train/teacher_loss"] > 0
    said = taskkit.load_run(taught)
    again = said.evaluate("test")
    assert again.metrics == said.metrics
    assert said.metrics["test/loss"] == pytest.approx(
        sum(row["cross_entropy"] for row in again.rows) / len(again.rows), rel=1e-4
    )


class Stop(pl.Callback):
    """Sends this process a signal at the start of one batch."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, i: int) -> None:
        if trainer.global_step == self.at:
            os.kill(os.getpid(), signal.SIGTERM)


def stopping(at: int) -> Any:
    class Plugin:
        @hookimpl
        def taskkit_callbacks(self, recipe: Any) -> list[pl.Callback]:
            return [Stop(at)]

    return discover({"image"}, extra={"stopping": Plugin()})


def test_a_run_that_is_stopped_and_gone_on_with_ends_as_one_that_was_not(taught: Path) -> None:
    run = taught.with_name("stopped")
    with pytest.raises(Preempted):
        taskkit.run("student.yaml", ["distil.teacher=teacher"], out=run, plugins=stopping(23))
    # Nothing of the student's depends on where its teacher lies, but its recipe says where to look.
    taskkit.resume(run)
    assert_same_run(run, taught)
    assert taskkit.load_run(run).metrics == taskkit.load_run(taught).metrics


def test_a_run_goes_on_with_no_other_teacher_than_it_began_with(digits: Path) -> None:
    run = digits / "orphan"
    shutil.copytree("teacher", "mortal")
    with pytest.raises(Preempted):
        taskkit.run("student.yaml", ["distil.teacher=mortal"], out=run, plugins=stopping(3))
    shutil.rmtree("mortal")
    with pytest.raises(
        taskkit.TaskkitError, match=r"orphan learns from the run teacher, and there is none in .*mortal"
    ):
        taskkit.resume(run)
    shutil.copytree("plain", "mortal")
    with pytest.raises(taskkit.TaskkitError, match=r"learnt from teacher, whose weights .* there now is plain"):
        taskkit.resume(run)


def test_who_goes_on_elsewhere_finds_the_teacher_where_it_lies_as_seen_from_the_run(
    taught: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = taught.with_name("both")
    shutil.copytree("teacher", both / "old")
    with pytest.raises(Preempted):
        taskkit.run("student.yaml", ["distil.teacher=both/old"], out=both / "student", plugins=stopping(23))
    there = both.rename(taught.with_name("moved"))
    monkeypatch.chdir(there)
    taskkit.resume("student")
    assert_same_run(there / "student", taught)


def test_the_record_names_the_teacher_by_its_weights_and_not_by_its_place(taught: Path) -> None:
    said = json.loads((taught / "run.json").read_text())["teacher"]
    assert said["run"] == "teacher"
    state = taskkit.load_run("teacher").built.task.state_dict()
    assert said["sha256"] == teaching.weights_sha256(state)
    name = next(iter(state))
    assert said["sha256"] != teaching.weights_sha256({**state, name: state[name] + 1})


SERIES = """
seed: 1
task: {name: series.forecast}
model: {name: series.mlp}
data: {name: series.waves, series: 40}
trainer: {max_epochs: 1, accelerator: cpu}
"""


def test_what_cannot_be_distilled_is_refused_by_name(digits: Path) -> None:
    (digits / "waves.yaml").write_text(SERIES)
    taskkit.run("waves.yaml", out="waves")

    def refused(recipe: str, *changes: str) -> str:
        with pytest.raises(taskkit.TaskkitError) as caught:
            taskkit.run(recipe, changes, out="never")
        shutil.rmtree("never", ignore_errors=True)
        return str(caught.value)

    assert "series.forecast (taskkit-series" in refused("waves.yaml", "distil.teacher=waves")
    assert "mixes training examples" in refused("student.yaml", "distil.teacher=teacher", "task.mixup=0.2")
    assert "waves is a run of series.forecast, which has no logits" in refused("student.yaml", "distil.teacher=waves")
    others = refused("student.yaml", "distil.teacher=teacher", "loader.folds=5")
    assert "test data and splits" in others
    assert "may have seen what its student is tested on" in others
    assert "distil.teacher is 'nowhere', where there is no run.json" in refused(
        "student.yaml", "distil.teacher=nowhere"
    )
    assert "where there is no run.json" in refused("student.yaml", f"distil.teacher={'é' * 300}")
    assert "distil.teacher is missing" in refused("student.yaml", "distil.alpha=0.5")
    assert "distil.alpha is 2" in refused("student.yaml", "distil.teacher=teacher", "distil.alpha=2")


def test_the_same_classes_in_another_order_are_refused(digits: Path) -> None:
    plugins = discover()
    recipe = taskkit.load_run("plain").built.recipe
    prepared = build.prepare(build.data_module(recipe), recipe)
    student = build.build(recipe, prepared)
    target = student.spec.target
    assert isinstance(target, taskkit.Classes)
    loader = make_loaders(student, prepared, lambda split: None)["train"]
    turned = replace(student, spec=replace(student.spec, target=taskkit.Classes(target.names[::-1])))
    with pytest.raises(taskkit.TaskkitError, match="same choices in the same order"):
        teaching.taught(
            DistilSection("teacher"), turned, describe.protocol(student), prepared, loader, plugins, digits / "plain"
        )


def test_answers_that_are_more_than_memory_are_refused(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teaching, "fits", lambda size, device: size < 30_000)
    with pytest.raises(taskkit.TaskkitError, match=r"samples among 10 choices are 0\.0 GB.*loader\.fraction"):
        taskkit.run("student.yaml", ["distil.teacher=teacher"], out=digits / "never")


def test_texts_are_distilled_by_the_same_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ROOT / "plugins" / "taskkit-text" / "tests"
    for name in ("weather.yaml", "weather.csv"):
        shutil.copy(texts / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    taskkit.run("weather.yaml", out="teacher")
    changes = ["model.width=4", "distil={teacher: teacher, alpha: 1, temperature: 4}"]
    student = taskkit.run("weather.yaml", changes, out="student")
    assert student.manifest.teacher is not None
    assert student.metrics["test/accuracy"] > 0.7
    lines = [line for line in losses(Path("student")) if "train/teacher_loss" in line]
    assert lines[-1]["train/loss"] == lines[-1]["train/teacher_loss"] < lines[0]["train/teacher_loss"]


STOPPED = """
import os, signal
import pytorch_lightning as pl
from taskkit.cli import main
from taskkit.engine import run

class Stop(pl.Callback):
    def on_train_batch_start(self, trainer, module, batch, i):
        if trainer.global_step == 23:
            os.kill(os.getpid(), signal.SIGTERM)

before = run.Run._callbacks
run.Run._callbacks = lambda *a: [*before(*a), Stop()]
main()
"""


def test_the_command_line_trains_a_student_and_says_what_it_costs(
    digits: Path, environment: Callable[..., dict[str, str]]
) -> None:
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "taskkit", *arguments]
        return subprocess.run(words, capture_output=True, text=True, env=environment())

    done = call("compress", "teacher", "--distil", "student.yaml", "distil.alpha=0.9", "-o", "cli")
    assert done.returncode == 0, done.stderr
    assert "weights in memory" in done.stdout
    assert "to the best" in done.stdout
    made = taskkit.load_run("cli").manifest
    assert made.compressed is not None
    assert made.compressed.settings == {"distil": {"temperature": 2.0, "alpha": 0.9}}
    assert made.compressed.bytes_after is not None
    assert made.compressed.bytes_before is not None
    assert made.compressed.bytes_after < made.compressed.bytes_before
    assert made.teacher is not None
    (digits / "stopping.py").write_text(STOPPED)
    words = [sys.executable, "stopping.py", "compress", "teacher", "--distil", "student.yaml", "distil.alpha=0.9"]
    ended = subprocess.run([*words, "-o", "halted"], capture_output=True, text=True, env=environment())
    assert ended.returncode == 128 + signal.SIGTERM, ended.stderr
    assert "Traceback" not in ended.stderr
    assert call("run", "--resume", "halted").returncode == 0
    assert_same_run(digits / "halted", digits / "cli")
    again = taskkit.load_run("halted").manifest.compressed
    assert again is not None
    assert again.inference_after is not None
    assert (again.parent, again.settings, again.bytes_before, again.bytes_after) == (
        made.compressed.parent,
        made.compressed.settings,
        made.compressed.bytes_before,
        made.compressed.bytes_after,
    )
    assert call("compress", "teacher", "--quantise", "int8", "distil.alpha=1").returncode == 2
    assert call("compress", "teacher", "--distil", "student.yaml", "--prune", "0.5").returncode == 2
    twice = call("compress", "teacher", "--distil", "student.yaml", "-o", "cli")
    assert twice.returncode == 2
    assert "cli" in twice.stderr
