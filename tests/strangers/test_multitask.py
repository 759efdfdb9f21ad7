"""One network that answers two questions about a picture: two targets, two losses, metrics of each."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from sklearn.datasets import load_digits

import taskkit
from taskkit.plugins.discovery import discover
from tests.same_run import assert_same_run
from tests.strangers.conftest import Stranger

PACKAGE = "multitask"
SHORT = ["trainer.accelerator=cpu", "trainer.precision=32-true", "meter.every_n_steps=10"]


@dataclass
class StopInValidation(pl.Callback):
    """Ends the process in the second validation, as whoever turns a machine off."""

    @taskkit.hookimpl
    def taskkit_callbacks(self, recipe: Any) -> Iterable[pl.Callback]:
        return [self]

    def on_validation_start(self, trainer: pl.Trainer, *_: object) -> None:
        if trainer.current_epoch == 1:
            raise SystemExit


@pytest.fixture(scope="module")
def straight(stranger: Stranger) -> taskkit.LoadedRun:
    return stranger.run(*SHORT, out="straight")


@pytest.fixture(scope="module")
def pictures(stranger: Stranger) -> dict[Path, tuple[str, str]]:
    """Text files of grey values by path, each with its digit and parity."""
    made = {}
    for number, (picture, digit) in enumerate(zip(*load_digits(return_X_y=True), strict=True)):
        if number < 40:
            path = stranger.folder / f"{number}.txt"
            path.write_text("\n".join(" ".join(f"{value:g}" for value in row) for row in picture.reshape(8, 8)))
            made[path] = (str(digit), ("even", "odd")[digit % 2])
    return made


def test_both_targets_are_learnt_far_better_than_by_the_commonest_class(straight: taskkit.LoadedRun) -> None:
    baseline = straight.manifest.baseline
    assert baseline["test/digit_accuracy"] == pytest.approx(0.1)
    assert baseline["test/parity_accuracy"] == pytest.approx(0.5)
    assert straight.metrics["test/digit_accuracy"] > 0.85
    assert straight.metrics["test/parity_accuracy"] > 0.85


def test_both_losses_are_logged_and_add_up(straight: taskkit.LoadedRun) -> None:
    lines = [line for line in straight.history() if "train/loss" in line]
    assert len(lines) > 10
    for line in lines:
        assert line["train/loss"] == pytest.approx(line["train/digit_loss"] + 0.5 * line["train/parity_loss"], rel=1e-4)
    assert lines[-1]["train/digit_loss"] < lines[0]["train/digit_loss"] / 3


def test_the_rows_of_a_test_have_both_targets_and_predictions(straight: taskkit.LoadedRun) -> None:
    rows = straight.predictions().to_pylist()
    assert len(rows) == 300
    for question in ("digit", "parity"):
        right = [json.loads(row["target"])[question] == json.loads(row["prediction"])[question] for row in rows]
        assert right == [bool(row[f"{question}_correct"]) for row in rows]
        assert sum(right) / 300 == pytest.approx(straight.metrics[f"test/{question}_accuracy"])


def test_the_facts_of_both_targets_come_back_with_the_run(stranger: Stranger, straight: taskkit.LoadedRun) -> None:
    target = taskkit.load_run(straight.path, plugins=stranger.plugins).built.spec.target
    assert type(target).__name__ == "DigitAndParity"
    assert target["parity"].names == ("even", "odd")
    assert sum(target["digit"].counts) == 1797 - 10 * (10 + 30)
    assert target in {type(target)(target.fields)}


def test_a_run_may_watch_the_metric_of_either_target(stranger: Stranger) -> None:
    ended = stranger.run(*SHORT, "trainer.max_epochs=1", "early_stopping={monitor: parity_accuracy}", out="watched")
    assert ended.status == "finished"


def test_a_run_that_was_stopped_while_it_validated_validates_again(
    stranger: Stranger, straight: taskkit.LoadedRun
) -> None:
    path, plugins = stranger.folder / "stopped", discover(["taskkit-multitask"], {"stopping": StopInValidation()})
    with pytest.raises(SystemExit):
        taskkit.run("multitask", [*SHORT, "checkpoint.every_n_steps=1"], out=path, plugins=plugins)
    resumed = stranger.resumed(path)
    assert_same_run(straight.path, path)
    assert resumed.metrics == straight.metrics


def test_evaluating_gives_what_the_run_recorded_and_asking_between_changes_nothing(
    stranger: Stranger, straight: taskkit.LoadedRun, pictures: dict[Path, tuple[str, str]]
) -> None:
    loaded, asked = taskkit.load_run(straight.path, plugins=stranger.plugins), list(map(str, pictures))
    first = loaded.predict(asked)
    assert loaded.evaluate().metrics == straight.metrics
    assert loaded.predict(asked) == first


def test_the_command_line_answers_both_questions(
    stranger: Stranger, straight: taskkit.LoadedRun, pictures: dict[Path, tuple[str, str]]
) -> None:
    answers = [row["prediction"] for row in stranger.predict(straight.path, *map(str, pictures))]
    for place, question in enumerate(("digit", "parity")):
        right = [answer[question] == truth[place] for answer, truth in zip(answers, pictures.values(), strict=True)]
        assert sum(right) > 34


def test_a_picture_of_another_size_is_refused(stranger: Stranger, straight: taskkit.LoadedRun) -> None:
    with pytest.raises(taskkit.DataError, match=r"it has 3 grey values. 64 were expected"):
        taskkit.load_run(straight.path, plugins=stranger.plugins).predict(taskkit.TextLine("1 2 3"))
