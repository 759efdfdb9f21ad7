"""A recommender learns from another's answers to the same windows of histories, whatever it asks itself in training."""

import json
from pathlib import Path

import pytest
import torch

import taskkit
from taskkit import TaskkitError
from taskkit.contracts.recipe import DistilSection
from taskkit.engine import build, describe, teaching
from taskkit.engine.distil import answer
from taskkit.engine.loaders import make_loaders
from taskkit.plugins.discovery import discover

RECIPE = """
seed: 1
task: {name: recsys.next_item}
model: {name: recsys.sasrec, length: %d, width: 16, depth: 1, heads: 2, mlp_ratio: 2.0}
data: {name: recsys.interactions, events: log.csv}
loader: {batch_size: 8}
optim: {lr: 3.0e-2, warmup: 0.1}
trainer: {max_epochs: 20, accelerator: cpu, precision: 32-true}
meter: {every_n_steps: 1, flops: false}
"""
STUDENTS = {
    "sasrec": "{name: recsys.sasrec, length: 8, width: 4, depth: 1, heads: 2, mlp_ratio: 2.0}",
    "bert4rec": "{name: recsys.bert4rec, length: 8, width: 8, depth: 1}",
    "gru4rec": "{name: recsys.gru4rec, length: 8, width: 4, hidden: 4}",
    "lightgcn": "{name: recsys.lightgcn, width: 4, depth: 2, length: 8}",
    "mf": "{name: recsys.mf, width: 4, length: 8}",
}


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    """A folder with a log, recipes, and two teachers, one of windows that hold every history and one of short ones."""
    folder = tmp_path_factory.mktemp("teachers")
    rows = [f"u{user},i{(user + step) % 12},{step}" for user in range(20) for step in range(9)]
    (folder / "log.csv").write_text("\n".join(["user,item,timestamp", *rows]))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TASKKIT_CACHE", str(folder / "cache"))
        for name, length in (("long", 8), ("short", 4)):
            (folder / f"{name}.yaml").write_text(RECIPE % length)
            taskkit.run(f"{name}.yaml", out=name)
        taskkit.run(
            "long.yaml", ["model={name: recsys.item_knn, neighbours: 8, length: 8}", "trainer.max_epochs=0"], out="knn"
        )
        yield folder


@pytest.fixture
def here(teachers, monkeypatch):
    monkeypatch.chdir(teachers)


def lines(run, name):
    logged = map(json.loads, (run.path / "metrics.jsonl").read_text().splitlines())
    return [line[name] for line in logged if name in line]


@pytest.mark.parametrize("student", STUDENTS)
def test_every_network_learns_from_a_teachers_answers(here, tmp_path, student):
    # Vectors of users and items alone begin near nought.
    rate = "optim.lr=0.3" if student in ("lightgcn", "mf") else "optim.lr=0.03"
    changes = [f"model={STUDENTS[student]}", "distil={teacher: long, alpha: 1}", rate]
    run = taskkit.run("long.yaml", changes, out=tmp_path / "run")
    losses = lines(run, "train/teacher_loss")
    assert losses[-1] < 0.9 * losses[0]
    assert lines(run, "train/loss") == losses


def test_a_baseline_teaches_too(here, tmp_path):
    run = taskkit.run("long.yaml", ["distil={teacher: knn, alpha: 1}"], out=tmp_path / "run")
    losses = lines(run, "train/teacher_loss")
    assert losses[-1] < 0.9 * losses[0]


def test_asking_a_student_once_more_changes_nothing_but_what_it_learns(here, tmp_path):
    changes = ["model.dropout=0.3"]
    plain = taskkit.run("long.yaml", changes, out=tmp_path / "plain")
    asked = taskkit.run("long.yaml", [*changes, "distil={teacher: long, alpha: 0}"], out=tmp_path / "asked")
    before, after = (
        torch.load(run.path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for run in (plain, asked)
    )
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert asked.metrics == plain.metrics
    taught = taskkit.run("long.yaml", [*changes, "distil={teacher: long, alpha: 0.5}"], out=tmp_path / "taught")
    assert lines(taught, "train/loss")[-1] != lines(plain, "train/loss")[-1]


@pytest.mark.parametrize("name", ["long", "short"])
def test_a_student_with_its_teachers_weights_answers_as_it_did_to_each_window(here, name):
    student = taskkit.load_run(name).built
    prepared = build.prepare(build.data_module(student.recipe), student.recipe)
    loader = make_loaders(student, prepared, lambda split: None)["train"]
    section, protocol = DistilSection(name), describe.protocol(student)
    lesson = teaching.taught(section, student, protocol, prepared, loader, discover(), Path(name)).lesson
    assert len(lesson.logits) == {"long": 20, "short": 40}[name]
    loader.place(torch.device("cpu"), rank=0, world=1)
    student.task.train()
    for batch in loader:
        answered = student.task.logits(answer(student.task, batch.tensors))
        assert torch.allclose(answered, lesson.logits[torch.as_tensor(batch.indices)], atol=1e-5)
        assert answered.requires_grad
        assert all(module.training for module in student.task.modules())


def test_other_windows_are_refused_by_name(here, tmp_path):
    with pytest.raises(TaskkitError, match=r"not alike: into 1 and 2 the training example.*model\.length"):
        taskkit.run("short.yaml", ["distil.teacher=long"], out=tmp_path / "run")
    # As many windows of each history, but others.
    with pytest.raises(TaskkitError, match=r"not alike: into 2 and 2 the training example.*model\.length"):
        taskkit.run("short.yaml", ["distil.teacher=short", "model.length=5"], out=tmp_path / "other")


def test_a_task_of_ratings_is_refused(here, tmp_path):
    changes = ["task={name: recsys.rating}", "model={name: recsys.mf, width: 4}", "distil.teacher=long"]
    with pytest.raises(TaskkitError):
        taskkit.run("long.yaml", changes, out=tmp_path / "run")
