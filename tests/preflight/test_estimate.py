"""A short run is timed part by part, and the whole of it follows."""

from dataclasses import replace
from pathlib import Path

import pytest

from taskkit.contracts.recipe import TrainerSection
from taskkit.plugins.registry import Plugins
from taskkit.preflight import trial
from taskkit.preflight.estimate import estimate, findings, planned_validations
from taskkit.preflight.trial import Stretch, Timed
from taskkit.recipe.load import Resolved, load

TIMED = Timed(
    starting=5.0,
    preparing=2.0,
    train=Stretch(count=20, seconds=2.0, apart=1.0, planned=1003),
    validation=Stretch(count=9, seconds=0.9, apart=0.5, planned=11),
    test=Stretch(count=9, seconds=0.9, apart=0.5, planned=20),
    between=0.5,
    judging=3.0,
    batches_per_epoch=100,
    device="cpu",
    memory=10**9,
    checkpoint=10**6,
    validated=True,
)


@pytest.fixture
def blobs(plugins: Plugins) -> Resolved:
    return load(["blobs.yaml"], [], plugins)


def test_a_whole_run_is_the_sum_of_its_parts(blobs: Resolved) -> None:
    recipe = replace(blobs.recipe, trainer=TrainerSection(max_epochs=10, check_val_every_n_epoch=2))
    found = estimate(TIMED, recipe)
    assert found.training == pytest.approx(1.0 + 1000 * 0.1)
    assert found.validations == 5
    assert found.validating == pytest.approx(5 * (0.5 + 10 * 0.1))
    # Of twenty batches ten were judged, so that rows and intervals are of twice as many.
    assert found.testing == pytest.approx(0.5 + (0.5 + 19 * 0.1) + 2 * 3.0)
    assert found.epoch == pytest.approx(10.0)
    assert found.total == pytest.approx(5.0 + 2.0 + 101.0 + 7.5 + 8.9)
    shared = estimate(TIMED, recipe, processes=2)
    assert shared.training == pytest.approx(1.0 + 499 * 0.1)


@pytest.mark.parametrize(
    ("section", "per_epoch", "batches", "validations"),
    [
        (TrainerSection(max_epochs=10), 27, 270, 10),
        (TrainerSection(max_epochs=60, check_val_every_n_epoch=10), 27, 1620, 6),
        (TrainerSection(max_epochs=2, val_check_interval=0.25), 100, 200, 8),
        (TrainerSection(max_steps=1000, val_check_interval=300), 27, 1000, 3),
        (TrainerSection(max_steps=1000, val_check_interval=300), None, 1000, 3),
        (TrainerSection(max_epochs=0), 27, 0, 0),
    ],
)
def test_validations_are_counted_as_lightning_makes_them(
    section: TrainerSection, per_epoch: int | None, batches: int, validations: int
) -> None:
    assert planned_validations(section, per_epoch, batches) == validations


def test_a_disk_that_is_too_small_is_an_error_and_a_memory_that_is_nearly_full_a_warning(
    blobs: Resolved, tmp_path: Path
) -> None:
    whole = replace(TIMED, checkpoint=10**15, device="cuda:0", device_memory=79 * 10**9, device_memory_total=80 * 10**9)
    found = list(findings(whole, blobs.recipe, tmp_path))
    assert [(each.kind, each.severity) for each in found] == [
        ("time", "info"),
        ("memory", "info"),
        ("memory", "warning"),
        ("disk", "error"),
    ]
    assert "about 79 GB of cuda:0, of 80 GB" in found[2].message
    assert "checkpoints of 1000 TB, 4 at most while they are replaced" in found[3].message


def test_a_short_run_counts_the_whole_one_and_leaves_what_it_measured(
    plugins: Plugins, blobs: Resolved, tmp_path: Path
) -> None:
    long = load(["blobs.yaml"], ["trainer.max_epochs=100000", "trainer.check_val_every_n_epoch=50"], plugins)
    timed = trial.trial(long, plugins, tmp_path / "trial", seconds=0.1)
    assert timed.train.planned == 100000 * 7
    assert 5 <= timed.train.count < 1000
    assert timed.batches_per_epoch == 7
    assert (timed.validation.planned, timed.test.planned) == (3, 3)
    assert timed.validation.count % 2 == 0  # Of three batches the first is timed apart.
    assert timed.test.count == 2
    assert timed.checkpoint > 1000
    assert timed.samples > 200 * 8 * 4
    assert timed.memory > 10**8
    assert estimate(timed, long.recipe).validations == 2000
