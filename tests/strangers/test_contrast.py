"""Pictures and captions in one space: an input of two facts, a parameter of the task, a metric over the whole split."""

from __future__ import annotations

import math

import pytest
import torch
from PIL import Image, ImageDraw

import taskkit
from tests.same_run import weights
from tests.strangers.conftest import Stranger

PACKAGE = "contrast"
AT_FIRST = math.log(10)
"""Where the scale begins, as a logarithm: a temperature of 0.1."""


@pytest.fixture(scope="module")
def straight(stranger: Stranger) -> taskkit.LoadedRun:
    return stranger.run()


@pytest.fixture(scope="module")
def drawn(stranger: Stranger) -> list[str]:
    """Two pictures by another hand than the data's: a large blue square in the centre, a red circle at the top left."""
    square, circle = (Image.new("RGB", (240, 240), (60, 60, 60)) for _ in range(2))
    ImageDraw.Draw(square).rectangle((90, 90, 150, 150), "blue")
    ImageDraw.Draw(circle).ellipse((10, 10, 86, 86), "red")
    square.save(stranger.folder / "square.png")
    circle.save(stranger.folder / "circle.png")
    return [str(stranger.folder / "square.png"), str(stranger.folder / "circle.png")]


def test_it_finds_captions_that_it_never_saw(straight: taskkit.LoadedRun) -> None:
    assert straight.manifest.baseline["test/recall@5"] < 0.1
    assert straight.metrics["test/recall@1"] > 0.5
    assert straight.metrics["test/recall@5"] > 0.8


def test_the_temperature_of_the_task_is_learnt_and_kept(stranger: Stranger, straight: taskkit.LoadedRun) -> None:
    learnt = weights(straight.path)["task.log_scale"]
    again = taskkit.load_run(straight.path, plugins=stranger.plugins)
    best = torch.load(again.checkpoint, weights_only=True)["state_dict"]["task.log_scale"]
    logged = [line["train/temperature"] for line in straight.history() if "train/temperature" in line]

    assert abs(float(learnt) - AT_FIRST) > 0.05
    assert dict(again.built.task.named_parameters())["log_scale"].item() == best.item() != pytest.approx(AT_FIRST)
    assert logged[0] == pytest.approx(0.1, rel=0.1)
    assert logged[-1] == pytest.approx(math.exp(-learnt), rel=0.01)


def test_two_processes_with_unequal_shares_judge_the_whole_split(stranger: Stranger) -> None:
    # Each picture is told from those on its own device alone, so two processes do not learn what one would.
    ended = stranger.in_two_processes("trainer.max_epochs=6", "data.test=0.19")
    run = taskkit.load_run(ended, plugins=stranger.plugins)

    assert run.manifest.data.sizes["test"] % 2 == 1
    assert 0 < run.metrics["test/recall@5"] < 1
    alone = run.evaluate().metrics
    for name in ("test/recall@1", "test/recall@5"):
        assert alone[name] == pytest.approx(run.metrics[name])
    assert sorted(run.predictions()["id"].to_pylist()) == sorted(set(run.predictions()["id"].to_pylist()))


def test_it_is_judged_again_as_in_its_record_between_two_answers(straight: taskkit.LoadedRun, drawn: list[str]) -> None:
    captions = "a large blue square,a small red circle"
    before = straight.predict(drawn, captions=captions)
    assert straight.evaluate().metrics == pytest.approx(straight.metrics)
    assert straight.predict(drawn, captions=captions) == before


def test_the_command_line_gives_each_picture_the_best_caption(
    stranger: Stranger, straight: taskkit.LoadedRun, drawn: list[str]
) -> None:
    captions = ["a large green triangle at the right", "a large red circle at the top left"]
    captions.append("a large blue square at the centre")
    answers = stranger.predict(straight.path, *drawn, "--captions", ",".join(captions))

    assert [answer["prediction"] for answer in answers] == [captions[2], captions[1]]
    assert all(0.5 < answer["probability"] <= 1 for answer in answers)


def test_captions_without_a_known_word_are_refused_before_a_picture_is_read(straight: taskkit.LoadedRun) -> None:
    with pytest.raises(taskkit.TaskkitError, match="--captions: 'Bordeaux' has no word that is known"):
        straight.predict("nowhere.png", captions="a red circle,Bordeaux")
    with pytest.raises(taskkit.TaskkitError, match="--captions"):
        straight.predict("nowhere.png")
    with pytest.raises(taskkit.DataError, match=r"nowhere\.png"):
        straight.predict("nowhere.png", captions="a red circle")
