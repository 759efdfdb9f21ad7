"""What a machine lacks, and what leaves no step or batch over, is told before any work."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import taskkit
from taskkit.contracts.recipe import TrainerSection
from taskkit.engine.trainer import NVML, AllHaveGradients, ask_for_devices_once, check_place, refuse_no_batches
from taskkit.errors import TaskkitError
from taskkit.plugins.discovery import discover

RECIPE = """\
task: {name: series.forecast}
model: {name: series.mlp}
data: {name: series.waves, series: 40}
loader: {batch_size: 8}
trainer: {max_epochs: 1, accelerator: cpu}
"""


@pytest.mark.parametrize(
    "section",
    [
        TrainerSection(accelerator="tpu"),
        TrainerSection(accelerator="cpu", strategy="deepspeed"),
        TrainerSection(accelerator="cpu", precision="transformer-engine"),
    ],
    ids=["accelerator", "strategy", "precision"],
)
def test_what_this_machine_lacks_is_told_in_our_words(section: TrainerSection) -> None:
    with pytest.raises(TaskkitError) as caught:
        check_place(section)
    assert str(caught.value).startswith(
        f"trainer.accelerator={section.accelerator}, trainer.devices=1, trainer.strategy="
    )
    assert "this machine cannot train so (" in str(caught.value)
    assert "!." not in str(caught.value)


def test_more_processes_than_cores_are_refused() -> None:
    with pytest.raises(TaskkitError, match=r"trainer\.devices is 1000, and this machine trains on its \d+ cores"):
        check_place(TrainerSection(accelerator="cpu", devices=1000))


def test_two_processes_may_train_on_any_machine() -> None:
    check_place(TrainerSection(accelerator="cpu", devices=2, strategy="ddp"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("trainer.accelerator=tpu", "trainer.accelerator=tpu"),
        ("optim.warmup=100", "optim.warmup is 100 steps, but training ends after 4"),
        ("optim.hold=4", "optim.hold is 4 steps, but training ends after 4"),
        ("trainer.limit_val_batches=0.1", "trainer.limit_val_batches is 0.1, and 1 val batches have none of that"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_its_name(
    change: str, said: str, series_site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(series_site))
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "waves.yaml"
    path.write_text(RECIPE)
    with pytest.raises(TaskkitError) as caught:
        taskkit.run(path, [change], out=tmp_path / "run", plugins=discover({"series"}))
    assert str(caught.value).startswith(said)
    assert caught.value.exit_code == 2


def test_a_share_of_a_split_is_one_batch_at_least_or_none() -> None:
    section = TrainerSection(limit_train_batches=0.5, limit_val_batches=0.0, limit_test_batches=3)
    refuse_no_batches(section, {"train": 2, "val": 1, "test": 1})
    with pytest.raises(TaskkitError, match=r"trainer\.limit_train_batches is 0\.5, and 1 train batches have none"):
        refuse_no_batches(section, {"train": 1})


def test_plain_ddp_is_refused_where_a_parameter_has_no_gradient() -> None:
    network = torch.nn.ModuleDict({"used": torch.nn.Linear(2, 1), "spare": torch.nn.Linear(2, 1)})
    network["used"](torch.ones(1, 2)).sum().backward()
    trainer = SimpleNamespace(global_step=0)
    with pytest.raises(
        TaskkitError, match=r"in step 1 there was none of spare\.weight, spare\.bias.*find_unused_param"
    ):
        AllHaveGradients().on_before_optimizer_step(trainer, network, None)  # type: ignore[arg-type]
    network["spare"].requires_grad_(False)
    AllHaveGradients().on_before_optimizer_step(trainer, network, None)  # type: ignore[arg-type]


def test_training_ends_when_its_time_is_up_which_a_resumed_run_remembers(
    series_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(series_site))
    recipe, plugins = tmp_path / "recipe.yaml", discover({"series"})
    recipe.write_text(RECIPE)
    changes = ["trainer.max_epochs=100000", "trainer.max_time=0.5", "loader.batch_size=2"]
    run = taskkit.run(recipe, changes, out=tmp_path / "run", plugins=plugins)
    said = run.manifest
    assert said.status == "finished"
    assert said.stopped is not None
    assert said.stopped.startswith("time was up in step ")
    lines = run.history()
    assert "val/mae" in lines[-1] or "val/mae" in lines[-2]
    record = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**record, "status": "preempted"}))
    again = taskkit.resume(run.path, plugins=plugins)
    assert [line["step"] for line in again.history()][-1] == lines[-1]["step"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to look for")
def test_without_a_gpu_steps_do_not_look_for_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    # Adam asks at each step whether there is a GPU, and Lightning has torch open the driver's library for the answer.
    monkeypatch.setenv(NVML, "1")
    looked: list[str] = []
    monkeypatch.setattr(torch.cuda, "_device_count_nvml", lambda: looked.append("") or -1)
    ask_for_devices_once()
    before = len(looked)
    assert not torch.cuda.is_available()
    assert len(looked) == before == 1
