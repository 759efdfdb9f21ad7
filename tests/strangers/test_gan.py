"""A GAN: two optimisers that take turns, no loss to judge by, and predictions that need no input."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import taskkit
from taskkit.preflight.rates import look
from tests.same_run import weights
from tests.strangers.conftest import Stranger

PACKAGE = "gan"
HERE = ("trainer.accelerator=cpu", "trainer.precision=32-true")
SHORT = (*HERE, "trainer.max_steps=100")


@pytest.fixture(scope="module")
def trained(stranger: Stranger) -> taskkit.LoadedRun:
    return stranger.run(*HERE)


def test_its_points_are_nearer_to_the_ring_than_a_normal_distribution_is(trained: taskkit.LoadedRun) -> None:
    assert trained.metrics["test/energy_distance"] < 0.6 * trained.manifest.baseline["test/energy_distance"]


def test_each_phase_has_its_loss_and_judging_has_none(trained: taskkit.LoadedRun) -> None:
    drained = [line for line in trained.history() if "train/loss" in line]
    for line in drained:
        parts = line["train/discriminator_loss"] + line["train/generator_loss"]
        assert line["train/loss"] == pytest.approx(parts, rel=1e-5)
        assert line["lr/discriminator"] == pytest.approx(2 * line["lr/generator"])
    assert drained[0]["lr/discriminator"] > 0
    names = {name for line in trained.history() for name in line} | {*trained.metrics}
    assert not names & {"val/loss", "test/loss"}


def test_both_networks_learn_each_at_its_own_rate(stranger: Stranger, trained: taskkit.LoadedRun) -> None:
    start = stranger.run(*HERE, "trainer.max_steps=null", "trainer.max_epochs=0", out="start")
    before, after = weights(start.path), weights(trained.path)
    assert {name.split(".")[2] for name in after} == {"discriminator", "generator"}
    assert not [name for name in after if torch.equal(before[name], after[name])]
    saved = torch.load(trained.path / "checkpoints" / "last.ckpt", weights_only=True)
    rates = [state["param_groups"][0]["initial_lr"] for state in saved["optimizer_states"]]
    assert rates == [4e-3, 2e-3]


def test_a_parameter_of_no_phase_is_refused_by_name(stranger: Stranger, monkeypatch: pytest.MonkeyPatch) -> None:
    from taskkit_gan import gan

    class Scaled(gan.Mlps):
        def network(self, spec: taskkit.DataSpec, processor: gan.Coordinates) -> nn.Module:
            pair = super().network(spec, processor)
            pair.scale = nn.Parameter(torch.ones(2))
            return pair

    monkeypatch.setattr(gan, "Mlps", Scaled)
    with pytest.raises(taskkit.TaskkitError, match=r"network\.scale belongs to none of its phases discriminator, gen"):
        stranger.run(*SHORT, out="scaled")


def test_settings_of_an_unknown_phase_are_refused(stranger: Stranger) -> None:
    with pytest.raises(taskkit.TaskkitError, match=r"optim\.phases\.generater.* Did you mean 'generator'"):
        stranger.run(*SHORT, "optim.phases.generater.lr=1e-3", out="unknown")


def test_two_processes_train_together(stranger: Stranger) -> None:
    # Not as one does: the noise of training is drawn in each process, and must differ there.
    two = taskkit.load_run(stranger.in_two_processes(*HERE, "loader.batch_size=64"), plugins=stranger.plugins)
    assert two.status == "finished"
    assert two.metrics["test/energy_distance"] < two.manifest.baseline["test/energy_distance"]
    assert len(two.predictions()) == 511
    assert two.evaluate().metrics == pytest.approx(two.metrics, rel=1e-3)


def test_asking_changes_no_score(trained: taskkit.LoadedRun) -> None:
    before = trained.predict(count=3)
    assert trained.evaluate("test").metrics == pytest.approx(trained.metrics)
    assert trained.predict(count=3) == before


def test_points_are_generated_for_a_seed_without_any_input(stranger: Stranger, trained: taskkit.LoadedRun) -> None:
    printed = stranger.predict(trained.path, "--count=5", "--seed", "3")
    assert [line["input"] for line in printed] == [f"seed 3, point {number}" for number in range(5)]
    points = [line["prediction"] for line in printed]
    assert all(len(point) == 2 for point in points)
    assert len({tuple(point) for point in points}) == 5
    again = [line["prediction"] for line in trained.predict(count=7, seed=3)]
    assert torch.allclose(torch.tensor(again[:5]), torch.tensor(points), atol=1e-5)
    assert trained.predict(count=1, seed=4)[0]["prediction"] != again[0]


def test_an_input_is_refused(trained: taskkit.LoadedRun) -> None:
    with pytest.raises(taskkit.DataError, match="--count, --seed"):
        trained.predict("face.png")


def test_no_one_rate_is_looked_for_of_phases_that_have_their_own(stranger: Stranger) -> None:
    with pytest.raises(taskkit.TaskkitError, match=r"trains in phases, each with a rate of its own"):
        look([stranger.name], HERE, stranger.plugins, 20, 1e-5, 1e-1)
