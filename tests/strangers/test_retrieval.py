"""Retrieval: what is made after training, an index of the training pictures, is kept, read back, judged and asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import taskkit
from taskkit.engine import build
from tests.same_run import assert_same_run
from tests.strangers.conftest import Stranger

PACKAGE = "retrieval"


@pytest.fixture(scope="module")
def straight(stranger: Stranger) -> taskkit.LoadedRun:
    return stranger.run()


@pytest.fixture(scope="module")
def killed(stranger: Stranger, straight: taskkit.LoadedRun) -> Path:
    return stranger.killed()


@pytest.fixture(scope="module")
def pictures(stranger: Stranger, straight: taskkit.LoadedRun) -> list[str]:
    """Files of a training and of a test digit."""
    return [saved(examples(straight, split)[7], stranger.folder) for split in ("train", "test")]


def test_the_nearest_training_digit_is_the_same_digit(straight: taskkit.LoadedRun) -> None:
    assert straight.manifest.baseline["test/precision@1"] < 0.12
    assert straight.metrics["test/precision@1"] > 0.9
    interval = straight.manifest.intervals["test/precision@1"]
    assert interval.method == "exact binomial"
    assert interval.value == pytest.approx(straight.metrics["test/precision@1"])


def test_before_there_is_an_index_it_is_judged_among_the_others_of_the_split(straight: taskkit.LoadedRun) -> None:
    validated = [line["val/precision@1"] for line in straight.history() if "val/precision@1" in line]
    assert len(validated) == 4
    assert 0.9 < validated[-1] < 1


def test_a_run_without_an_index_says_what_to_do(stranger: Stranger, killed: Path, pictures: list[str]) -> None:
    run = taskkit.load_run(killed, plugins=stranger.plugins)
    assert run.status == "running"
    with pytest.raises(taskkit.TaskkitError, match="no index yet"):
        run.predict(pictures[0])


def test_killed_and_resumed_it_ends_with_the_same_weights_and_the_same_index(
    stranger: Stranger, straight: taskkit.LoadedRun, killed: Path
) -> None:
    resumed = stranger.resumed(killed)

    assert_same_run(resumed.path, straight.path)
    ours, theirs = index(resumed.path), index(straight.path)
    assert ours["ids"] == theirs["ids"] == [example.id for example in examples(straight, "train")]
    assert torch.equal(ours["vectors"], theirs["vectors"])
    assert torch.equal(ours["classes"], theirs["classes"])


def test_two_processes_make_the_whole_index_and_judge_the_whole_split(stranger: Stranger) -> None:
    # Each process compares the digits of its own batch alone, so two do not learn what one would.
    ended = stranger.in_two_processes("trainer.max_epochs=2", "optim.lr=1e-3")
    run = taskkit.load_run(ended, plugins=stranger.plugins)

    assert len(index(ended)["ids"]) == len(examples(run, "train"))
    assert len(examples(run, "test")) % 2 == 1
    assert 0.5 < run.metrics["test/precision@1"] < 1
    assert run.evaluate().metrics["test/precision@1"] == pytest.approx(run.metrics["test/precision@1"])
    (validated,) = [line["val/precision@1"] for line in run.history() if "val/precision@1" in line]
    assert validated == pytest.approx(among_the_others(run, "val"))


def test_it_is_judged_again_as_in_its_record_between_two_answers(
    stranger: Stranger, straight: taskkit.LoadedRun, pictures: list[str]
) -> None:
    run = taskkit.load_run(straight.path, plugins=stranger.plugins)
    before = run.predict(pictures)
    assert run.evaluate().metrics == pytest.approx(straight.metrics)
    assert run.predict(pictures) == before


def test_the_rows_of_the_test_have_the_nearest_as_the_index_has_them(straight: taskkit.LoadedRun) -> None:
    rows = straight.predictions().to_pylist()
    kept = index(straight.path)
    digit = dict(zip(kept["ids"], kept["classes"].tolist(), strict=True))

    right = [str(digit[json.loads(row["prediction"])[0]["id"]]) == row["target"] for row in rows]
    assert sum(right) / len(right) == pytest.approx(straight.metrics["test/precision@1"])
    assert {len(json.loads(row["prediction"])) for row in rows} == {5}


def test_the_command_line_gives_the_ids_of_the_nearest(
    stranger: Stranger, straight: taskkit.LoadedRun, pictures: list[str]
) -> None:
    trained_on, other = stranger.predict(straight.path, *pictures, "--top", "3")

    assert len(trained_on["prediction"]) == len(other["prediction"]) == 3
    assert trained_on["prediction"][0]["id"] == Path(pictures[0]).stem
    assert trained_on["prediction"][0]["similarity"] == pytest.approx(1, abs=1e-5)
    (row,) = [row for row in straight.predictions().to_pylist() if row["id"] == Path(pictures[1]).stem]
    tested = [each["id"] for each in json.loads(row["prediction"])]
    assert [each["id"] for each in other["prediction"]] == tested[:3]


def examples(run: taskkit.LoadedRun, split: Any) -> Any:
    recipe = run.built.recipe
    return build.prepare(build.data_module(recipe), recipe).examples(split)


def among_the_others(run: taskkit.LoadedRun, split: Any) -> float:
    """The precision of a split without an index."""
    task, processor = run.built.task.eval(), run.built.processor
    batch = processor.collate([processor.encode(example)[0] for example in examples(run, split)])
    metric = task.metrics()["precision@1"]
    metric.update(task(batch), batch["target"])
    return float(metric.compute())


def saved(example: taskkit.Example, folder: Path) -> str:
    """The digit as a picture file, bright on dark, named by its id."""
    path = folder / f"{example.id}.png"
    Image.fromarray((example.input * (255 / 16)).round().astype(np.uint8)).save(path)
    return str(path)


def index(run: Path) -> dict[str, Any]:
    kept: dict[str, Any] = torch.load(run / "checkpoints" / "conclusion.pt", weights_only=True)
    return kept
