"""Segmentation: pictures of many sizes, judged at their own, and predictions that are files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

import taskkit
from taskkit.keyfile import KEY_FILE
from taskkit.runs.encryption import is_encrypted
from tests.same_run import weights
from tests.strangers.conftest import Stranger

PACKAGE = "segmentation"
HERE = ("trainer.accelerator=cpu", "trainer.precision=32-true")


@pytest.fixture(scope="module")
def trained(stranger: Stranger) -> taskkit.LoadedRun:
    return stranger.run(*HERE)


@pytest.fixture(scope="module")
def truth(stranger: Stranger) -> Sequence[taskkit.Example]:
    """The examples of the test split."""
    from taskkit_segmentation.sections import Land, Masks
    from taskkit_segmentation.segmentation import Land as Data

    examples = Data(Land()).prepare(Masks).splits["test"]
    assert isinstance(examples, Sequence)
    return examples


@pytest.fixture(scope="module")
def pond(stranger: Stranger) -> Path:
    """A picture, larger than any of the training, whose left half is water."""
    noise = np.random.default_rng(0).normal(0, 30, (90, 130, 3))
    picture = Image.new("RGB", (130, 90), (120, 100, 80))
    ImageDraw.Draw(picture).rectangle((0, 0, 64, 89), fill=(80, 110, 150))
    Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8)).save(stranger.folder / "pond.png")
    return stranger.folder / "pond.png"


def masks(run: taskkit.LoadedRun) -> dict[str, np.ndarray]:
    """The predicted class numbers of each test picture, read from its file."""
    rows = run.predictions().to_pylist()
    return {row["id"]: np.asarray(Image.open(run.path / row["prediction"])) for row in rows}


def test_it_beats_calling_everything_ground(trained: taskkit.LoadedRun) -> None:
    assert trained.manifest.baseline["test/miou"] < 0.4
    assert trained.metrics["test/miou"] > 0.7
    interval = trained.manifest.intervals["test/pixel_accuracy"]
    assert interval.low < trained.metrics["test/pixel_accuracy"] < interval.high


def test_each_test_picture_has_a_mask_of_its_size_in_the_run(
    trained: taskkit.LoadedRun, truth: Sequence[taskkit.Example]
) -> None:
    found = masks(trained)
    assert {name: mask.shape for name, mask in found.items()} == {each.id: each.target.shape for each in truth}
    assert len({mask.shape for mask in found.values()}) > 10
    assert {path.name for path in (trained.path / "predictions").iterdir()} == {f"{each.id}.png" for each in truth}


def test_masks_of_an_encrypted_run_are_read_with_its_key(
    stranger: Stranger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.key").write_text("k" * 40)
    monkeypatch.setenv(KEY_FILE, str(tmp_path / "own.key"))
    run = stranger.run(*HERE, "privacy.encrypt=true", "trainer.max_steps=4", out="encrypted")
    for row in run.predictions().to_pylist():
        assert is_encrypted(run.path / row["prediction"])
        assert Image.open(io.BytesIO(run.read(row["prediction"]))).size[0] > 1


def test_the_score_is_that_of_the_masks_at_their_own_sizes(
    trained: taskkit.LoadedRun, truth: Sequence[taskkit.Example]
) -> None:
    found, confusion = masks(trained), np.zeros((3, 3))
    for example in truth:
        labelled = example.target != 255
        np.add.at(confusion, (example.target[labelled], found[example.id][labelled]), 1)
    right = confusion.diagonal()
    iou = right / (confusion.sum(0) + confusion.sum(1) - right)
    assert trained.metrics["test/miou"] == pytest.approx(iou.mean(), rel=1e-5)
    assert trained.metrics["test/pixel_accuracy"] == pytest.approx(right.sum() / confusion.sum(), rel=1e-5)


def test_two_processes_train_and_judge_as_one_does(stranger: Stranger, truth: Sequence[taskkit.Example]) -> None:
    one = stranger.run(*HERE, "trainer.max_steps=20", out="one")
    path = stranger.in_two_processes(*HERE, "trainer.max_steps=20", "loader.batch_size=4")
    two = taskkit.load_run(path, plugins=stranger.plugins)
    ours, theirs = weights(one.path), weights(two.path)
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in ours)
    assert two.metrics == pytest.approx(one.metrics, rel=1e-3)
    assert two.metrics == pytest.approx(two.evaluate().metrics)
    # The masks of both processes are there, though their pictures are not as many.
    assert len(truth) % 2 == 1
    assert {*masks(two)} == {each.id for each in truth}


def test_asking_changes_no_score(trained: taskkit.LoadedRun, pond: Path) -> None:
    before = trained.predict(pond)
    assert trained.evaluate("test").metrics == pytest.approx(trained.metrics)
    assert trained.predict(pond) == before


def test_a_picture_file_is_answered_with_a_mask_file_of_its_size(
    stranger: Stranger, trained: taskkit.LoadedRun, pond: Path
) -> None:
    out = stranger.folder / "masks"
    [answer] = stranger.predict(trained.path, str(pond), "--out", str(out))
    path = Path(answer["prediction"])
    assert path.parent == out
    assert "pond" in path.stem
    mask = np.asarray(Image.open(path))
    assert mask.shape == (90, 130)
    assert (mask[:, :60] == 2).mean() > 0.9
    assert (mask[:, 70:] == 0).mean() > 0.9
    assert answer["shares"]["water"] == pytest.approx((mask == 2).mean(), abs=1e-3)
