"""Detection: losses that the network computes itself, boxes that move with their pictures, and a metric of lists."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torchvision.ops import box_iou

import taskkit
from tests.same_run import weights
from tests.strangers.conftest import Stranger

PACKAGE = "detection"
HERE = ("trainer.accelerator=cpu", "trainer.precision=32-true")
SHORT = (*HERE, "trainer.max_steps=40")


@pytest.fixture(scope="module")
def trained(stranger: Stranger) -> taskkit.LoadedRun:
    return stranger.run(*HERE)


@pytest.fixture(scope="module")
def picture(stranger: Stranger) -> tuple[Path, list[float]]:
    """A green square on textured ground, of another size than those of the training, and its box."""
    ground = np.random.default_rng(0).integers(60, 120, (16, 24, 3), np.uint8)
    drawing = Image.fromarray(ground).resize((144, 96))
    box = [30, 40, 72, 68]
    ImageDraw.Draw(drawing).rectangle(box, fill=(150, 250, 160))
    drawing.save(stranger.folder / "square.png")
    return stranger.folder / "square.png", [float(side) for side in box]


def test_it_finds_objects_where_the_mean_box_finds_none(trained: taskkit.LoadedRun) -> None:
    assert trained.manifest.baseline["test/map"] < 0.05
    assert trained.metrics["test/map"] > 0.2
    assert trained.metrics["test/map_50"] > 0.4


def test_there_is_no_loss_but_that_of_training(trained: taskkit.LoadedRun) -> None:
    names = {name for line in trained.history() for name in line}
    assert {"train/loss", "train/classification", "train/bbox_regression", "val/map"} <= names
    assert not any(name.endswith("/loss") for name in {*names, *trained.metrics} - {"train/loss"})
    assert not trained.path.joinpath("run.json").read_text().count("val/loss")
    first = next(line for line in trained.history() if "train/loss" in line)
    assert first["train/loss"] == pytest.approx(first["train/classification"] + first["train/bbox_regression"])


def test_two_processes_train_and_judge_as_one_does(stranger: Stranger) -> None:
    same = (*HERE, "trainer.max_steps=34", "data.flip=0")
    one = stranger.run(*same, "loader.batch_size=8", out="one")
    two = taskkit.load_run(stranger.in_two_processes(*same, "loader.batch_size=4"), plugins=stranger.plugins)
    ours, theirs = weights(one.path), weights(two.path)
    assert all(torch.allclose(ours[name], theirs[name], atol=2e-5) for name in ours)
    # The test split is odd: one process has judged a picture more than the other.
    assert len(two.predictions()) % 2 == 1
    assert two.metrics["test/map"] > 0
    assert two.metrics == pytest.approx(two.evaluate().metrics)


def test_asking_changes_no_score(trained: taskkit.LoadedRun, picture: tuple[Path, list[float]]) -> None:
    before = trained.predict(picture[0])
    assert trained.evaluate("test").metrics == pytest.approx(trained.metrics)
    assert trained.predict(picture[0]) == before


def test_a_picture_file_is_answered_with_boxes_in_its_own_pixels(
    stranger: Stranger, trained: taskkit.LoadedRun, picture: tuple[Path, list[float]]
) -> None:
    path, drawn = picture
    [answer] = stranger.predict(trained.path, str(path), "--threshold=0.3")
    assert answer["input"] == str(path)
    found = answer["prediction"]
    assert found[0]["label"] == "square"
    assert all(each["score"] >= 0.3 for each in found)
    assert float(box_iou(torch.tensor([found[0]["box"]]), torch.tensor([drawn]))) > 0.6
    assert trained.predict(path, threshold=1)[0]["prediction"] == []


def test_boxes_move_with_their_pictures(stranger: Stranger) -> None:
    from taskkit_detection import detection, sections

    data = detection.Shapes(sections.Shapes(train=20, flip=1))
    processor = detection.Squares(64, detection.NAMES)
    examples = data.prepare(sections.Boxes).examples("train")
    assert isinstance(examples, list)
    before = processor.collate([processor.encode(example)[0] for example in examples])
    after = data.augment(before)

    def cut(batch: taskkit.Batch, picture: int, box: int) -> torch.Tensor:
        left, top, right, bottom = batch["target_boxes"][picture, box].int().tolist()
        return batch["image"][picture, :, top:bottom, left:right]

    objects = (before["target_labels"] >= 0).nonzero().tolist()
    assert len(objects) > 20
    assert all(torch.equal(cut(before, *which).flip(-1), cut(after, *which)) for which in objects)


def test_a_processor_that_breaks_the_promise_of_the_boxes_is_refused(
    stranger: Stranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    from taskkit_detection import detection

    class Careless(detection.Squares):
        def collate(self, samples: Sequence[taskkit.Sample]) -> taskkit.Batch:
            batch = super().collate(samples)
            return {**batch, "target_labels": batch["target_labels"].float()}

    monkeypatch.setattr(detection, "Squares", Careless)
    with pytest.raises(taskkit.RunFailedError, match=r"Boxes.*`target_labels`: int \(batch, boxes\)"):
        stranger.run(*SHORT, out="careless")


def test_each_test_picture_keeps_its_boxes(trained: taskkit.LoadedRun) -> None:
    rows = trained.predictions().to_pylist()
    assert [row["id"] for row in rows] == [f"test-{number}" for number in range(33)]
    assert all(each["label"] in ("ring", "square") for row in rows for each in json.loads(row["target"]))
    assert any(json.loads(row["prediction"]) for row in rows)
    assert (trained.path / "classes.csv").read_text().startswith('"class","average precision"\n"ring",')
