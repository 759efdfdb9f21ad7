"""A network, a loss and data that cannot be learnt are told before a run; those that can are not."""

from collections.abc import Callable

import pytest

import taskkit
from taskkit.contracts.facts import Example
from taskkit.errors import RunFailedError, TaskkitError
from taskkit.plugins.registry import Plugins
from taskkit.preflight.checks import learning
from taskkit.preflight.finding import Finding
from taskkit.preflight.overfit import unlike
from taskkit.recipe.load import load

Look = Callable[..., dict[str, Finding]]


@pytest.fixture
def look(plugins: Plugins) -> Look:
    """What is found out about learning, by its kind."""

    def call(*changes: str) -> dict[str, Finding]:
        return {found.kind: found for found in learning(load(["blobs.yaml"], list(changes), plugins).recipe, plugins)}

    return call


@pytest.mark.parametrize(
    "changes",
    [
        [],
        ["optim.name=sgd", "optim.lr=0.1"],
        ["task.label_smoothing=0.4", "optim.weight_decay=0.1"],
        ["trainer.gradient_clip_val=1", "optim.freeze={'hidden.*': null}", "task.fault=silent"],
    ],
    ids=" ".join,
)
def test_of_what_can_be_learnt_nothing_is_warned(look: Look, changes: list[str]) -> None:
    found = look(*changes)
    assert {each.severity for each in found.values()} == {"info"}
    assert found["one batch"].message.endswith("it can be learnt by heart.")
    known = "is not known" if "task.fault=silent" in changes else "gives 1.3863"
    assert f"chance {known}." in found["first loss"].message.replace("what chance gives is", "chance is")


def test_a_last_layer_that_is_initialised_too_large_is_told_by_the_first_loss(look: Look) -> None:
    first = look("model.fault=huge")["first loss"]
    assert first.severity == "warning"
    assert first.numbers["loss"] is not None
    assert first.numbers["loss"] > 10
    assert "times what chance gives" in first.message
    assert "how its last layer is initialised" in first.message


@pytest.mark.parametrize("change", ["model.fault=constant", "data.fault=alike", "task.fault=shuffled"])
def test_a_batch_that_cannot_be_learnt_is_told(look: Look, change: str) -> None:
    batch = look(change)["one batch"]
    assert batch.severity == "warning"
    assert batch.message.startswith("16 samples: the loss fell from 1.")
    assert "in 199 steps. Below 0.4" in batch.message
    assert "depends on its inputs" in batch.message


def test_a_rate_that_is_too_low_is_told_apart_from_a_network_that_is_wrong(look: Look) -> None:
    batch = look("optim.lr=1e-7")["one batch"]
    assert batch.severity == "warning"
    assert "with adamw at optim.lr=1e-07" in batch.message
    assert "look at the optim section" in batch.message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("trainer.max_epochs=0", "this recipe takes no steps"),
        ("optim.freeze={'*': null}", "no parameter is trained"),
    ],
)
def test_what_no_batch_says_anything_of_is_skipped_with_the_reason(look: Look, change: str, reason: str) -> None:
    (only,) = look(change).values()
    assert (only.severity, only.kind) == ("info", "one batch")
    assert f"not tried, since {reason}" in only.message


def test_a_chance_that_is_no_number_is_the_plugins_fault(look: Look) -> None:
    with pytest.raises(RunFailedError, match=r"`chance` returned 'two'. A finite number was expected"):
        look("task.fault=words")


def test_a_batch_is_of_as_many_targets_as_there_are() -> None:
    examples = [Example(str(n), n, target) for n, target in enumerate([0] * 30 + [1, 2])]
    assert [example.target for example in unlike(examples, 6)] == [0, 1, 2, 0, 0, 0]
    assert len(unlike(examples, 100)) == 32


def test_a_run_tells_its_first_loss_beside_chance_once(plugins: Plugins, capsys: pytest.CaptureFixture[str]) -> None:
    taskkit.run("blobs.yaml", out="well", plugins=plugins)
    taskkit.run("blobs.yaml", ["model.fault=huge", "trainer.max_epochs=1"], out="huge", plugins=plugins)
    well, huge = capsys.readouterr().out.split("trained in", 1)
    assert well.count("chance") == 1
    assert "; chance gives 1.3863" in well
    assert huge.count("times what chance gives") == 1


def test_a_run_whose_checkpoints_do_not_fit_on_the_disk_is_refused_before_it_trains(plugins: Plugins) -> None:
    with pytest.raises(TaskkitError, match=r"a checkpoint of this run takes about 1200 TB, 4 are there while they are"):
        taskkit.run("blobs.yaml", ["model.fault=vast"], out="vast", plugins=plugins)
