"""A network that learns from lines that are made while they are read, with an end or without."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import pytorch_lightning as pl
import torch

import taskkit
from taskkit.plugins.discovery import discover
from tests.same_run import assert_same_run, weights
from tests.strangers.conftest import Stranger

PACKAGE = "stream"
SHORT = ["trainer.accelerator=cpu", "trainer.precision=32-true", "meter.every_n_steps=10"]
# Six batches of 16 in each epoch, and four lines that are left out.
FINITE = [*SHORT, "data.lines=100", "trainer.max_steps=14", "trainer.val_check_interval=5"]
CARELESS = """
from dataclasses import replace
from taskkit_stream.lines import Languages

class Careless(Languages):
    def prepare(self, target):
        prepared = super().prepare(target)
        return replace(prepared, splits={**prepared.splits, "val": prepared.splits["train"]})
"""


@dataclass
class StopAt(pl.Callback):
    """Ends the process before a batch or a validation, as whoever turns a machine off."""

    step: int
    where: Literal["batch", "validation"] = "batch"

    @taskkit.hookimpl
    def taskkit_callbacks(self, recipe: Any) -> Iterable[pl.Callback]:
        return [self]

    def on_train_batch_start(self, trainer: pl.Trainer, *_: object) -> None:
        if self.where == "batch" and trainer.global_step == self.step:
            raise SystemExit

    def on_validation_start(self, trainer: pl.Trainer, *_: object) -> None:
        if self.where == "validation" and trainer.global_step == self.step:
            raise SystemExit


@dataclass
class Declaring:
    """A plugin that declares one component."""

    component: taskkit.Component

    @taskkit.hookimpl
    def taskkit_components(self) -> Iterable[taskkit.Component]:
        return [self.component]


@pytest.fixture(scope="module")
def straight(stranger: Stranger) -> taskkit.LoadedRun:
    return stranger.run(*SHORT, out="straight")


@pytest.fixture(scope="module")
def finite(stranger: Stranger) -> taskkit.LoadedRun:
    return stranger.run(*FINITE, out="finite")


def stopped(stranger: Stranger, stop: StopAt, *changes: str) -> taskkit.LoadedRun:
    """A run that was stopped there and went on."""
    path = stranger.folder / f"stopped-{stop.where}-{stop.step}"
    plugins = discover(["taskkit-stream"], {"stopping": stop})
    with pytest.raises(SystemExit):
        taskkit.run("stream", [*changes, "checkpoint.every_n_steps=1"], out=path, plugins=plugins)
    return stranger.resumed(path)


def test_a_network_learns_from_lines_that_never_end(straight: taskkit.LoadedRun) -> None:
    assert straight.manifest.baseline["test/accuracy"] < 0.4
    assert straight.metrics["test/accuracy"] > 0.85
    assert straight.manifest.data.sizes == {"train": None, "val": 200, "test": 200}
    assert [line["step"] for line in straight.history() if "val/accuracy" in line] == [50, 100, 150, 200]


def test_a_run_that_was_killed_ends_as_one_that_was_not(stranger: Stranger, straight: taskkit.LoadedRun) -> None:
    killed = stranger.killed(*SHORT, every=7)
    assert taskkit.load_run(killed, plugins=stranger.plugins).status == "running"
    resumed = stranger.resumed(killed)
    assert_same_run(straight.path, killed)
    assert resumed.metrics == straight.metrics


@pytest.mark.parametrize("step", [1, 5, 6, 7, 12])
def test_a_stream_of_several_epochs_goes_on_at_the_very_line_where_it_stopped(
    step: int, stranger: Stranger, finite: taskkit.LoadedRun
) -> None:
    resumed = stopped(stranger, StopAt(step), *FINITE)
    assert_same_run(finite.path, resumed.path)
    assert resumed.metrics == finite.metrics


def test_a_run_that_was_stopped_while_it_validated_validates_again(
    stranger: Stranger, finite: taskkit.LoadedRun
) -> None:
    resumed = stopped(stranger, StopAt(10, "validation"), *FINITE)
    assert_same_run(finite.path, resumed.path)
    assert resumed.metrics == finite.metrics


def test_two_processes_learn_what_one_learns_of_twice_the_batch(stranger: Stranger) -> None:
    # So they take other lines, and all of them.
    one = stranger.run(*FINITE, "loader.batch_size=32", out="one")
    two = stranger.in_two_processes(*FINITE, "loader.batch_size=16")
    ours, theirs = weights(one.path), weights(two)
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in ours)


def test_evaluating_gives_what_the_run_recorded_and_asking_between_changes_nothing(
    stranger: Stranger, straight: taskkit.LoadedRun
) -> None:
    loaded, lines = taskkit.load_run(straight.path, plugins=stranger.plugins), ["aeaeaeaa", "cfcffcfc", "abcdefgh"]
    first = loaded.predict(lines)
    assert loaded.evaluate().metrics == straight.metrics
    assert loaded.predict(lines) == first
    with pytest.raises(taskkit.DataError, match="its train split is a stream"):
        loaded.evaluate("train")


def test_the_command_line_names_the_language_of_a_line(stranger: Stranger, straight: taskkit.LoadedRun) -> None:
    answers = stranger.predict(straight.path, "aeaeabaeaa", "cfcffcfccg", "abcdefghgd")
    assert [answer["prediction"] for answer in answers] == ["aean", "cfish", "even"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["trainer.max_steps=null", "trainer.max_epochs=1"], "trainer.max_steps is null, but stream.lines is a stream"),
        (["trainer.val_check_interval=0.5"], "trainer.val_check_interval is 0.5, a share of an epoch, but stream"),
        (["trainer.limit_train_batches=0.5"], "trainer.limit_train_batches is 0.5, but stream.lines is a stream"),
        (["loader.fraction=0.5"], "loader.fraction is 0.5, but the training split of stream.lines is a stream"),
        (["data.lines=10"], "LineStream: epoch 0 has 10 examples. A batch for each process was expected, 16 in all"),
    ],
    ids=["how long", "when to validate", "how much", "a share", "too short"],
)
def test_what_a_stream_cannot_do_is_refused(changes: list[str], message: str, stranger: Stranger) -> None:
    with pytest.raises(taskkit.TaskkitError, match=message):
        stranger.run(*SHORT, *changes, out=f"refused-{changes[0]}")


def test_a_stream_to_validate_on_is_refused(stranger: Stranger) -> None:
    (Path(stranger.environment["PYTHONPATH"]) / "careless.py").write_text(CARELESS)
    lines = stranger.plugins.find("data", "stream.lines")
    careless = Declaring(replace(lines, name="stream.careless", implementation="careless:Careless"))
    plugins = discover(["taskkit-stream"], {"careless": careless})
    with pytest.raises(taskkit.DataError, match=r"stream.careless: its val split is a stream"):
        taskkit.run("stream", [*SHORT, "data.name=stream.careless"], out=stranger.folder / "careless", plugins=plugins)
