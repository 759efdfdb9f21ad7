"""Numbers that are no longer finite, and which runs are gone on with, by a person or by a script."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from click.testing import CliRunner

import taskkit
from taskkit.cli import main
from taskkit.engine import again
from taskkit.errors import RunFailedError, TaskkitError
from taskkit.plugins.discovery import discover
from taskkit.recipe.load import load
from taskkit.runs import manifest
from taskkit.runs.manifest import Manifest, Process
from taskkit.runs.record import Record
from tests.engine.test_resume import RECIPE, with_callback
from tests.same_run import losses, weights


@pytest.fixture(autouse=True)
def here(series_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(series_site))
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TASKKIT_PLUGINS", "series")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "waves.yaml").write_text(RECIPE)
    torch.set_num_threads(1)


class Poison(pl.Callback):
    """Makes the gradient of one parameter not a number, in one step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        if trainer.global_step + 1 == self.step:
            for name, parameter in pl_module.named_parameters():
                if name.endswith("head.bias") and parameter.grad is not None:
                    parameter.grad[0] = torch.nan


class Unborn(pl.Callback):
    """Makes the network begin with a weight that is not a number."""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        with torch.no_grad():
            next(pl_module.parameters())[0] = torch.nan


EACH = ("checkpoint.every_n_steps=1", "meter.every_n_steps=100")


def failed(*changes: str, step: int = 6) -> str:
    with pytest.raises(RunFailedError) as caught:
        taskkit.run("waves.yaml", [*EACH, *changes], out="run", plugins=with_callback(Poison(step)))
    return str(caught.value)


def words(*more: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["run", *more])
    return done.exit_code, done.output


def test_an_input_that_is_not_finite_is_named_with_its_step_and_example() -> None:
    changes = ["data.broken=true", "loader.batch_size=4", *EACH]
    with pytest.raises(RunFailedError, match=r"In step \d+ the training loss was nan: `target` of the example '0'"):
        taskkit.run("waves.yaml", changes, out="run")
    assert manifest.read(Path("run")).failure == "numbers"


def test_a_parameter_whose_gradient_was_the_first_is_named_and_the_last_checkpoint_is_finite() -> None:
    said = failed("checkpoint.every_n_steps=3")
    assert said.startswith(
        "In step 6 the gradient of network.head.bias was not finite, from a finite loss; so after step 6 "
        "network.head.bias was not finite. The last good checkpoint is of step 4. Go on from there with: taskkit run "
        "--resume run --from-good"
    ), said
    assert all(value.isfinite().all() for value in weights(Path("run")).values())


def test_of_the_first_step_no_rate_is_blamed() -> None:
    with pytest.raises(RunFailedError) as caught:
        taskkit.run("waves.yaml", EACH, out="run", plugins=with_callback(Unborn()))
    said = str(caught.value)
    assert said.startswith("In step 1 the training loss was nan"), said
    assert "No weight was changed before" in said
    assert "optim.lr" not in said


def test_without_a_checkpoint_since_the_bad_step_the_next_loss_tells() -> None:
    # Of step 4, after the first epoch; the fifth is bad, and the next look is at the end of the second epoch.
    said = failed("checkpoint.every_n_steps=null", "meter.every_n_steps=2", step=5)
    assert said.startswith(
        "In step 5 the gradient of network.head.bias was not finite, from a finite loss; so in step 6 "
    )
    assert "the training loss was nan" in said


def test_a_run_goes_on_from_good_with_half_the_rate_and_says_so_in_its_record() -> None:
    failed()
    assert weights(Path("run"))["task.network.head.bias"].isfinite().all()
    run = taskkit.resume("run", from_good=[])
    assert run.status == "finished"
    (change,) = run.manifest.changes
    assert (change.step, change.values) == (5, {"optim.lr": 0.005})
    straight = taskkit.run("waves.yaml", EACH, out="straight")
    (ours,), (theirs,) = ([line["lr"] for line in losses(each.path) if "lr" in line] for each in (run, straight))
    assert ours == pytest.approx(theirs / 2)
    # Whatever happens before the next checkpoint, the change stays.
    assert again.going_on(Path("run"), run.manifest, discover({"series"})).recipe.optim.lr == 0.005


def test_from_good_takes_what_keeps_numbers_finite_and_nothing_else() -> None:
    failed()
    for word, why in (
        ("data.series=80", r"would make another run of it.*taskkit run run/recipe\.yaml data\.series=80"),
        ("optim.lr=0.01", r"has already, so the same numbers would come again"),
    ):
        with pytest.raises(TaskkitError, match=why):
            taskkit.resume("run", from_good=[word])
    code, said = words("--resume", "run", "--from-good", "trainer.gradient_clip_val=1")
    assert (code, "from step 5, trainer.gradient_clip_val=1.0" in said) == (0, True), said
    with pytest.raises(TaskkitError, match="--from-good: run is finished"):
        taskkit.resume("run", from_good=[])
    code, said = words("--resume", "auto", "--from-good")
    assert (code, "--from-good goes with --resume RUN" in said) == (2, True)


def test_where_a_change_was_in_vain_the_next_begins_at_the_best_checkpoint() -> None:
    failed()
    with pytest.raises(RunFailedError, match="last good checkpoint is of step 5"):
        taskkit.resume("run", from_good=[], plugins=with_callback(Poison(6)))
    run = taskkit.resume("run", from_good=[])
    assert [(change.step, change.values) for change in run.manifest.changes] == [
        (5, {"optim.lr": 0.005}),
        (4, {"optim.lr": 0.0025}),
    ]
    assert run.status == "finished"


def test_a_run_that_was_not_stopped_by_its_numbers_goes_on_as_it_began() -> None:
    taskkit.run("waves.yaml", out="run")
    edit(Path("run"), status="failed", failure="machine")
    with pytest.raises(TaskkitError, match=r"--from-good: run is failed, and not since its numbers"):
        taskkit.resume("run", from_good=[])


def edit(run: Path, **changes: Any) -> None:
    known = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(known | changes))


def test_a_run_in_a_place_of_its_own_is_begun_gone_on_with_and_then_left_alone() -> None:
    call = ("waves.yaml", "trainer.max_epochs=1", "--resume", "auto", "--out", "here")
    code, said = words(*call)
    assert (code, "Going on" in said) == (0, False), said
    edit(Path("here"), status="preempted")
    code, said = words(*call)
    assert (code, "Going on with here from step" in said) == (0, True), said
    code, said = words(*call)
    assert (code, "here is finished" in said) == (0, True), said
    code, said = words(*call, "optim.lr=0.1")
    assert (code, "the run in here is of another recipe" in said) == (2, True), said
    assert not Path("runs").exists()


def test_a_script_that_starts_for_ever_does_not_repeat_what_would_come_again() -> None:
    for number, (changes, failure, code) in enumerate(
        [
            (("data.broken=true", "trainer.max_epochs=1"), "numbers", 1),
            (("loader.batch_size=64",), "input", 2),
        ]
    ):
        first, _ = words("waves.yaml", "--resume", "auto", *changes)
        assert first == code
        runs = sorted(Path("runs/waves").iterdir())
        assert len(runs) == number + 1
        assert failure in [manifest.read(run).failure for run in runs]
        again_, said = words("waves.yaml", "--resume", "auto", *changes)
        assert again_ == code
        assert "failed by what would come again, so it is not gone on with by itself" in said
        assert sorted(Path("runs/waves").iterdir()) == runs


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Let a run look as one whose process was killed by the system."""

    def killed(run: Path) -> None:
        gone = {"host": os.uname().nodename, "pid": 2**22 + 1, "began": 0.0}
        edit(run, status="running", ended=None, reason=None, process=gone)

    return killed


def test_what_may_be_over_is_tried_again_until_it_gets_no_further(counted: Callable[[Path], None]) -> None:
    taskkit.run("waves.yaml", out="run")
    path, plugins = Path("run"), discover({"series"})
    for number in range(1, again.MOST_ATTEMPTS + 1):
        counted(path)
        found = manifest.read(path)
        going = again.taken_up(again.going_on(path, found, plugins), found)
        assert going.attempts is not None
        assert (going.attempts.step, going.attempts.count) == (12, number)
        edit(path, attempts={"step": 12, "count": number})
    counted(path)
    found = manifest.read(path)
    with pytest.raises(RunFailedError, match=r"5 times from step 12 and got no further.*killed each time"):
        again.taken_up(again.going_on(path, found, plugins), found)
    edit(path, attempts={"step": 8, "count": 5})
    found = manifest.read(path)
    assert again.taken_up(again.going_on(path, found, plugins), found).attempts == manifest.Attempts(12, 1)


def test_by_itself_the_run_goes_on_that_began_last_and_one_that_is_damaged_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    plugins = discover({"series"})
    resolved = load(["waves.yaml"], [], plugins)
    # In the hour that comes twice in autumn, and after a change of the name's form.
    began = {"2026-10-25T02-30-00": "00:30:00", "2026-10-25T02-10-00": "01:10:00", "older-form": "00:50:00"}
    for name, time in began.items():
        made = Manifest(id=name, status="preempted", resolved=resolved.plain(), process=Process.here())
        record = Record.create(Path("runs/waves", name), made, resolved.to_yaml())
        record.update(started=f"2026-10-25T{time}+00:00")
    damaged = Path("runs/waves/zzz")
    damaged.mkdir()
    (damaged / "run.json").write_text("{")
    code, said = words("waves.yaml", "--resume", "auto")
    assert code == 0, said
    assert "--resume auto passes over a run: runs/waves/zzz/run.json: cannot be read" in caplog.text
    assert "Going on with runs/waves/2026-10-25T02-10-00 from step 0" in said
    statuses = {name: manifest.read(Path("runs/waves", name)).status for name in began}
    assert statuses == {**dict.fromkeys(began, "preempted"), "2026-10-25T02-10-00": "finished"}
