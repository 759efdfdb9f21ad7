"""Runs from end to end, with the stranger's plugin that trains in a second."""

import errno
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from click.testing import CliRunner
from torch.utils._python_dispatch import TorchDispatchMode

import taskkit
from taskkit.contracts.hookspecs import hookimpl
from taskkit.engine.optim import Freeze
from taskkit.errors import CheckpointError, DataError, RecipeError, TaskkitError
from taskkit.plugins.discovery import discover
from taskkit.plugins.registry import Plugins
from taskkit.runs.manifest import WeightsTested
from tests.conftest import Site
from tests.same_run import assert_same_run, losses, weights

RECIPE = """\
title: Waves
seed: 3
task: {name: series.forecast}
model: {name: series.mlp}
data: {name: series.waves}
loader: {batch_size: 16}
optim: {name: adamw, lr: 1.0e-2, warmup: 0.1}
trainer: {max_epochs: 3, accelerator: cpu}
meter: {every_n_steps: 10}
"""


@pytest.fixture
def plugins(series_site: Path, monkeypatch: pytest.MonkeyPatch) -> Plugins:
    monkeypatch.syspath_prepend(str(series_site))
    return discover({"series"})


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "waves.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def finished(series_site: Path, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[taskkit.LoadedRun]:
    out = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(series_site))
        patch.setenv("TASKKIT_CACHE", str(out.parent / "cache"))
        yield taskkit.run(recipe, out=out, plugins=discover({"series"}))


def test_a_run_directory_says_what_was_run_on_what_and_how_it_ended(finished: taskkit.LoadedRun) -> None:
    manifest = finished.manifest
    assert manifest.status == "finished"
    assert manifest.seed == 3
    assert manifest.recipe.title == "Waves"
    assert manifest.data is not None
    assert manifest.data.sizes == {"train": 256, "val": 32, "test": 32}
    (plugin,) = manifest.plugins
    assert len(plugin["record_sha256"]) == 64
    named = {"distribution": "taskkit-series", "version": "0.3.0", "entry_point": "series"}
    assert plugin == {**named, "record_sha256": plugin["record_sha256"]}
    assert manifest.cost.parameters == 12 * 16 + 16 + 16 * 3 + 3
    assert manifest.cost.flops_per_example == 3 * 2 * (12 * 16 + 16 * 3)
    assert manifest.cost.inference is not None
    assert 0 < manifest.cost.inference.latency_ms < 1000
    assert manifest.cost.inference.examples_per_second > 0
    assert manifest.cost.energy is not None
    assert (manifest.cost.energy.joules is None) != (manifest.cost.energy.meter == "RAPL")
    assert manifest.cost.energy.note
    assert (manifest.cost.inference.batch_size, manifest.cost.inference.device) == (16, "cpu")
    assert manifest.environment["packages"]["torch"] == torch.__version__.split("+")[0]
    assert set(finished.metrics) == {"test/mae", "test/loss"}
    assert finished.metrics["test/mae"] < 0.7
    assert {path.name for path in finished.path.iterdir()} == {
        ".lock", "checkpoints", "log.txt", "metrics.jsonl", "predictions.parquet", "recipe.yaml", "run.json",
    }  # fmt: skip


def test_the_headline_is_the_mean_of_the_scores_kept_for_each_example(finished: taskkit.LoadedRun) -> None:
    rows = finished.predictions().to_pylist()
    assert [row["id"] for row in rows] == [str(n) for n in range(288, 320)]
    mean = sum(row["absolute_error"] for row in rows) / len(rows)
    assert mean == pytest.approx(finished.metrics["test/mae"], rel=1e-3)


def test_the_recipe_of_a_run_runs_again_and_gives_the_same_losses(
    finished: taskkit.LoadedRun, plugins: Plugins, tmp_path: Path
) -> None:
    again = taskkit.run(finished.path / "recipe.yaml", out=tmp_path / "again", plugins=plugins)
    assert_same_run(finished.path, again.path)


def test_another_seed_gives_other_losses(
    finished: taskkit.LoadedRun, recipe: Path, plugins: Plugins, tmp_path: Path
) -> None:
    other = taskkit.run(recipe, ["seed=4"], out=tmp_path / "other", plugins=plugins)
    assert losses(other.path) != losses(finished.path)


def test_a_share_of_the_training_examples_is_learnt_from_and_all_are_tested(
    recipe: Path, plugins: Plugins, tmp_path: Path
) -> None:
    """Each share is kept in the store by itself."""
    for share, size in ((0.5, 128), (0.25, 64)):
        run = taskkit.run(recipe, [f"loader.fraction={share}"], out=tmp_path / f"{share}", plugins=plugins)
        assert run.manifest.data is not None
        assert run.manifest.data.sizes == {"train": size, "val": 32, "test": 32}


def test_evaluating_a_run_again_gives_its_test_metrics(finished: taskkit.LoadedRun, plugins: Plugins) -> None:
    run = taskkit.load_run(finished.path, plugins=plugins)
    assert run.evaluate().metrics == pytest.approx(finished.metrics)
    assert set(run.evaluate("val").metrics) == {"val/mae", "val/loss"}


def test_evaluating_on_other_data_takes_their_settings(finished: taskkit.LoadedRun, plugins: Plugins) -> None:
    run = taskkit.load_run(finished.path, plugins=plugins)
    assert len(run.evaluate("test", ["data.series=100"]).rows) == 10
    with pytest.raises(DataError, match=r"steps=4.*was trained for.*steps=3"):
        run.evaluate("test", ["data.steps=4"])


def test_predicting_from_a_run_directory_agrees_with_its_test_predictions(
    finished: taskkit.LoadedRun, plugins: Plugins
) -> None:
    from taskkit_series.forecast import Waves
    from taskkit_series.sections import Future
    from taskkit_series.sections import Waves as Section

    example = Waves(Section()).prepare(Future).splits["test"][0]
    answer = taskkit.load_run(finished.path, plugins=plugins).predict([",".join(map(repr, example.input))])
    kept = json.loads(finished.predictions().to_pylist()[0]["prediction"])
    assert answer[0]["prediction"] == pytest.approx(kept, rel=1e-2)


def test_the_same_input_may_be_given_twice(finished: taskkit.LoadedRun, plugins: Plugins) -> None:
    same = ",".join(["0.5"] * 12)
    one, other = taskkit.load_run(finished.path, plugins=plugins).predict([same, same])
    assert one == other


def test_a_task_takes_options_for_its_answers(finished: taskkit.LoadedRun, plugins: Plugins) -> None:
    (answer,) = taskkit.load_run(finished.path, plugins=plugins).predict([",".join(["0.5"] * 12)], digits=1)
    assert answer["input"].startswith("0.5,")
    assert answer["prediction"] == [round(value, 1) for value in answer["prediction"]]


def test_the_command_line_takes_the_options_of_a_run(
    finished: taskkit.LoadedRun, series_site: Path, taskkit: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    values = ",".join(["-0.5"] * 12)
    told = taskkit("predict", str(finished.path), "--digits", "2", values, sites=(series_site,))
    assert re.fullmatch(rf"{values}\t\[(-?\d\.\d\d?(, )?){{3}}\]\n", told.stdout), told.stderr
    wrong = taskkit("predict", str(finished.path), "--digit", "2", values, sites=(series_site,))
    assert wrong.returncode == 2
    assert "--digit is no option of this run's model or task. Did you mean 'digits'?" in wrong.stderr


def test_a_run_keeps_what_decides_its_metrics(finished: taskkit.LoadedRun, plugins: Plugins) -> None:
    assert finished.manifest.protocol is not None
    assert finished.manifest.protocol.task_protocol == {"quantile": 0.5}
    assert taskkit.load_run(finished.path, plugins=plugins).evaluate().protocol["task_protocol"] == {"quantile": 0.5}


def test_what_a_task_remarks_on_its_results_is_told(recipe: Path, plugins: Plugins, tmp_path: Path) -> None:
    changes = ["task.quantile=0.999", "trainer.max_epochs=null", "trainer.max_steps=200", "optim.lr=0.5"]
    run = taskkit.run(recipe, changes, out=tmp_path / "run", plugins=plugins)
    assert run.metrics["test/mae"] > 1
    assert len([line for line in run.history() if "val/mae" in line]) > 3
    # Once in training, though it holds after each validation, and again at the end.
    assert (run.path / "log.txt").read_text().count("The forecasts are far off") == 2
    (remark,) = run.manifest.remarks
    assert remark.startswith("The forecasts are far off")


def test_a_run_of_limited_or_distant_testing_is_judged_here_and_whole(
    recipe: Path, plugins: Plugins, tmp_path: Path
) -> None:
    run = taskkit.run(recipe, ["trainer.limit_test_batches=0"], out=tmp_path / "run", plugins=plugins)
    assert run.metrics == {}
    assert len(run.evaluate().rows) == 32


def started(
    recipe: Path, out: Path, env: dict[str, str], *changes: str, until: int = 100
) -> tuple[subprocess.Popen[str], str]:
    """A run in a process of its own, once it has said that it is past a step."""
    command = [sys.executable, "-m", "taskkit", "run", str(recipe), "--out", str(out), *changes]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        words = line.split()
        if words[:1] == ["step"] and int(words[1].split("/")[0]) >= until:
            return process, "".join(said)
    raise AssertionError("".join(said))


LONG = ("trainer.max_epochs=20", "checkpoint.every_n_steps=7")


@pytest.mark.parametrize(
    "changes",
    [
        (),
        ("loader.resident=no", "loader.workers=2"),
        ("trainer.accumulate_grad_batches=2", "optim.ema=0.9", "trainer.max_epochs=40"),
        ("trainer.accumulate_grad_batches=4", "trainer.val_check_interval=3", "trainer.max_epochs=80"),
    ],
    ids=["resident", "two workers", "accumulation and a moving average", "validations inside an accumulation"],
)
def test_a_run_that_was_killed_goes_on_to_the_very_same_weights_and_losses(
    recipe: Path,
    plugins: Plugins,
    series_site: Path,
    environment: Callable[..., dict[str, str]],
    tmp_path: Path,
    changes: tuple[str, ...],
) -> None:
    straight = taskkit.run(recipe, [*LONG, *changes], out=tmp_path / "straight", plugins=plugins)
    killed = tmp_path / "killed"
    process, _ = started(recipe, killed, environment(series_site), *LONG, *changes)
    process.kill()
    process.communicate()
    assert json.loads((killed / "run.json").read_text())["status"] == "running"
    step = torch.load(killed / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert 0 < step < json.loads((straight.path / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    resumed = taskkit.resume(killed, plugins=plugins)
    assert resumed.status == "finished"
    assert_same_run(straight.path, resumed.path)
    assert resumed.metrics == straight.metrics


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_run_and_says_how_to_go_on(
    recipe: Path,
    plugins: Plugins,
    series_site: Path,
    environment: Callable[..., dict[str, str]],
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    changes = ("trainer.max_epochs=20", "checkpoint.every_minutes=null", "loader.resident=no")
    stopped = tmp_path / "stopped"
    process, _ = started(recipe, stopped, environment(series_site), *changes)
    process.send_signal(number)
    rest = process.communicate(timeout=120)[0]
    assert process.returncode == 128 + number
    assert f"taskkit run --resume {stopped}" in rest
    assert "Traceback" not in rest
    manifest = json.loads((stopped / "run.json").read_text())
    assert manifest["status"] == "preempted"
    assert manifest["reason"].startswith(number.name)
    taskkit.resume(stopped, plugins=plugins)
    straight = taskkit.run(recipe, changes, out=tmp_path / "straight", plugins=plugins)
    assert_same_run(straight.path, stopped)


DRAWS = """
import os
import random
from pathlib import Path

import numpy
from taskkit import hookimpl

@hookimpl
def taskkit_callbacks(recipe):
    import pytorch_lightning as pl
    import torch

    class Draws(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            drawn = float(torch.rand(())), random.random(), numpy.random.rand()
            with Path(os.environ["DRAWS"], str(trainer.global_rank)).open("a") as file:
                print(*drawn, file=file)

    return [Draws()]
"""


def test_two_processes_get_the_losses_of_one_with_twice_the_batch_and_draw_otherwise(
    recipe: Path,
    plugins: Plugins,
    series_site: Path,
    site: Site,
    environment: Callable[..., dict[str, str]],
    tmp_path: Path,
) -> None:
    # An epoch has 8 batches in each, and twice as many for one process alone: validations are rarer than that.
    same = ("model.dropout=0", "data.noise=0", "trainer.precision=32-true", "trainer.val_check_interval=10")
    one = taskkit.run(recipe, [*same, "loader.batch_size=32"], out=tmp_path / "one", plugins=plugins)
    two = tmp_path / "two"
    command = [sys.executable, "-m", "taskkit", "run", str(recipe), "--out", str(two), *same]
    processes = ["trainer.devices=2", "trainer.strategy=ddp", "trackers=[csv]"]
    site.add("taskkit-draws", {"draws": "draws"}, {"draws.py": DRAWS})
    variables = environment(series_site, site.path, DRAWS=str(tmp_path))
    done = subprocess.run([*command, *processes], env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2 processes" in done.stdout
    assert done.stdout.count("test/mae") == 1
    assert "step 24/24" in done.stdout
    # One line for each of metrics.jsonl and one for the test, below the names.
    assert len((two / "trackers/csv/metrics.csv").read_text().splitlines()) == len(losses(two)) + 2
    ours, theirs = losses(one.path), losses(two)
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine == pytest.approx(other, rel=1e-5)
    rows, others = one.predictions().to_pylist(), taskkit.load_run(two, plugins=plugins).predictions().to_pylist()
    assert [row["id"] for row in rows] == [row["id"] for row in others]
    drawn = [[line.split() for line in (tmp_path / rank).read_text().splitlines()] for rank in ("0", "1")]
    every = [number for lines in drawn for line in lines for number in line]
    assert len(every) == len(set(every)) == 2 * 24 * 3
    # What two processes trained is judged by one.
    assert taskkit.load_run(two, plugins=plugins).evaluate().metrics == pytest.approx(one.metrics, rel=1e-4)


def test_accumulating_batches_gives_the_losses_of_one_larger_batch(
    recipe: Path, plugins: Plugins, tmp_path: Path
) -> None:
    same = ["model.dropout=0", "data.noise=0", "trainer.precision=32-true"]
    large = taskkit.run(recipe, same, out=tmp_path / "large", plugins=plugins)
    small = [*same, "loader.batch_size=2", "trainer.accumulate_grad_batches=8"]
    parts = taskkit.run(recipe, small, out=tmp_path / "small", plugins=plugins)
    for mine, other in zip(losses(large.path), losses(parts.path), strict=True):
        assert mine == pytest.approx(other, rel=1e-4)


def test_where_no_epoch_has_the_batches_of_a_step_it_is_said(recipe: Path, plugins: Plugins, tmp_path: Path) -> None:
    changes = ["trainer.accumulate_grad_batches=99", "trainer.max_epochs=2"]
    run = taskkit.run(recipe, changes, out=tmp_path / "run", plugins=plugins)
    said = "trainer.accumulate_grad_batches is 99, and an epoch has 16 batches: each optimiser step is over these"
    assert said in (run.path / "log.txt").read_text()
    assert run.manifest.tested is not None
    assert run.manifest.tested.step <= 2


class _ScalarReads(TorchDispatchMode):
    """Counts the times that a tensor's value is read on the host."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


class _Counting(pl.Callback):
    def __init__(self) -> None:
        self.reads: dict[int, int] = {}

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, i: int) -> None:
        self.mode = _ScalarReads()
        self.mode.__enter__()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, i: int
    ) -> None:
        self.mode.__exit__(None, None, None)
        self.reads[trainer.global_step] = self.mode.count


def test_no_scalar_is_read_between_two_drains(
    recipe: Path, series_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = _Counting()

    class Plugin:
        @hookimpl
        def taskkit_callbacks(self, recipe: Any) -> list[pl.Callback]:
            return [counting]

    monkeypatch.syspath_prepend(str(series_site))
    changes = ["trainer.gradient_clip_val=1", "meter.flops=false"]
    taskkit.run(recipe, changes, out=tmp_path / "run", plugins=discover({"series"}, extra={"counting": Plugin()}))
    assert len(counting.reads) == 48
    assert set(counting.reads.values()) == {0}


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_device_trains_in_bf16_and_no_step_waits_for_it(recipe: Path, plugins: Plugins, tmp_path: Path) -> None:
    changes = [
        "trainer.accelerator=gpu",
        "trainer.gradient_clip_val=1",
        "meter.every_n_steps=1000",
        "meter.flops=false",
    ]

    class Strict(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, i: int) -> None:
            torch.cuda.set_sync_debug_mode("error")

        def on_train_batch_end(
            self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, i: int
        ) -> None:
            torch.cuda.set_sync_debug_mode("default")

    class Plugin:
        @hookimpl
        def taskkit_callbacks(self, recipe: Any) -> list[pl.Callback]:
            return [Strict()]

    run = taskkit.run(recipe, changes, out=tmp_path / "run", plugins=discover({"series"}, extra={"strict": Plugin()}))
    assert run.manifest.precision == "bf16-mixed"
    assert (run.manifest.cost.peak_memory_bytes or 0) > 0


def test_early_stopping_ends_a_run_that_no_longer_improves(recipe: Path, plugins: Plugins, tmp_path: Path) -> None:
    changes = ["early_stopping.patience=1", "optim.lr=1e-9", "trainer.max_epochs=9", "early_stopping.min_delta=0.01"]
    run = taskkit.run(recipe, changes, out=tmp_path / "run", plugins=plugins)
    assert run.status == "finished"
    assert max(line["step"] for line in run.history()) == 2 * 16
    score = next(line["val/mae"] for line in run.history() if "val/mae" in line)
    why = f"early stopping in epoch 2, step 32: val/mae was never better than {score:.4f} in 1 validations"
    assert run.manifest.stopped == why
    assert why in (run.path / "log.txt").read_text()


def test_a_run_that_would_be_stopped_where_it_ends_was_not_stopped_early(
    recipe: Path, plugins: Plugins, tmp_path: Path
) -> None:
    changes = ["early_stopping.patience=1", "optim.lr=1e-9", "trainer.max_epochs=2", "early_stopping.min_delta=0.01"]
    run = taskkit.run(recipe, changes, out=tmp_path / "run", plugins=plugins)
    assert run.manifest.stopped is None
    assert "early stopping" not in (run.path / "log.txt").read_text()


def test_a_run_says_which_weights_it_tested_and_what_to_do_next(finished: taskkit.LoadedRun) -> None:
    scores = [(line["val/mae"], line["step"], line["epoch"]) for line in finished.history() if "val/mae" in line]
    score, step, epoch = min(scores)
    tested = finished.manifest.tested
    assert tested is not None
    assert (tested.checkpoint, tested.step, tested.epoch, tested.validation) == ("best", step, epoch, score)
    said = (finished.path / "log.txt").read_text()
    assert f"tested: the best weights, of epoch {epoch + 1}, step {step} (val/mae {score:.4f})" in said
    assert f"ask it:  taskkit predict {finished.path} INPUT" in said
    assert finished.manifest.stopped is None


def test_without_a_validation_the_last_weights_are_tested(recipe: Path, plugins: Plugins, tmp_path: Path) -> None:
    run = taskkit.run(recipe, ["trainer.limit_val_batches=0"], out=tmp_path / "run", plugins=plugins)
    assert run.manifest.tested == WeightsTested("last", 48, 2)
    assert "tested: the last weights, of epoch 3, step 48" in (run.path / "log.txt").read_text()


def test_early_stopping_on_a_metric_that_there_is_not_is_refused_before_any_work(
    recipe: Path, plugins: Plugins, tmp_path: Path
) -> None:
    with pytest.raises(
        RecipeError, match=r"no metric of series\.forecast\. Expected one of mae, loss\. Did you mean 'mae'"
    ):
        taskkit.run(recipe, ["early_stopping.monitor=val/maee"], out=tmp_path / "run", plugins=plugins)
    assert not (tmp_path / "run").exists()


def test_a_run_of_no_epochs_is_only_judged(recipe: Path, plugins: Plugins, tmp_path: Path) -> None:
    run = taskkit.run(recipe, ["trainer.max_epochs=0"], out=tmp_path / "run", plugins=plugins)
    assert run.status == "finished"
    assert "test/mae" in run.metrics
    said = (run.path / "log.txt").read_text()
    assert "tested: the model without a step of training" in said
    assert "of epoch" not in said
    assert run.evaluate().metrics == pytest.approx(run.metrics)


def test_a_run_of_no_epochs_needs_no_batch(recipe: Path, plugins: Plugins, tmp_path: Path) -> None:
    changes = ["trainer.max_epochs=0", "loader.batch_size=100000"]
    assert taskkit.run(recipe, changes, out=tmp_path / "run", plugins=plugins).status == "finished"


def test_what_is_frozen_stays_until_its_step(recipe: Path, plugins: Plugins, tmp_path: Path) -> None:
    once = ["trainer.max_epochs=null", "trainer.val_check_interval=1.0", "optim.weight_decay=0.1"]

    def hidden(name: str, *changes: str) -> torch.Tensor:
        run = taskkit.run(recipe, [*once, *changes], out=tmp_path / name, plugins=plugins)
        return weights(run.path)["task.network.hidden.weight"]

    start = hidden("start", "trainer.max_epochs=0")
    frozen = hidden("frozen", "trainer.max_steps=20", "optim.freeze={hidden.*: null}")
    freed = hidden("freed", "trainer.max_steps=20", "optim.freeze={hidden.*: 19}")
    assert torch.equal(start, frozen)
    assert not torch.equal(start, freed)


def test_what_the_model_itself_keeps_fixed_is_never_freed() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    network[0].requires_grad_(False)
    trainer = SimpleNamespace(world_size=1, global_step=0)
    freeze = Freeze({"*": 1}, lambda: dict(network.named_parameters()))
    freeze.on_train_start(trainer, network)  # type: ignore[arg-type]
    assert not any(parameter.requires_grad for parameter in network.parameters())
    trainer.global_step = 1
    freeze.on_train_batch_start(trainer, network, None, 0)  # type: ignore[arg-type]
    assert {name for name, p in network.named_parameters() if p.requires_grad} == {"1.weight", "1.bias"}


def test_a_pattern_that_freezes_nothing_is_an_error_that_names_a_parameter(
    recipe: Path, plugins: Plugins, tmp_path: Path
) -> None:
    with pytest.raises(TaskkitError, match=r"no parameter.*'hiden.\*'.*'hidden\.\w+'"):
        taskkit.run(recipe, ["optim.freeze={hiden.*: null}"], out=tmp_path / "run", plugins=plugins)


def test_a_run_is_never_overwritten(finished: taskkit.LoadedRun, recipe: Path, plugins: Plugins) -> None:
    with pytest.raises(TaskkitError, match="is not empty"):
        taskkit.run(recipe, out=finished.path, plugins=plugins)


def test_a_finished_run_has_nothing_to_go_on_with(finished: taskkit.LoadedRun, plugins: Plugins) -> None:
    before = losses(finished.path)
    assert taskkit.resume(finished.path, plugins=plugins).metrics == finished.metrics
    assert losses(finished.path) == before


def test_a_run_that_is_still_going_on_cannot_be_resumed(finished: taskkit.LoadedRun, plugins: Plugins) -> None:
    import psutil

    manifest = json.loads((finished.path / "run.json").read_text())
    parent = psutil.Process(os.getppid())
    manifest |= {"status": "running"}
    manifest["process"] |= {"pid": parent.pid, "began": parent.create_time()}
    (finished.path.parent / "other").mkdir()
    (finished.path.parent / "other" / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(TaskkitError, match=f"still going on, as process {parent.pid}"):
        taskkit.resume(finished.path.parent / "other", plugins=plugins)


def test_a_run_is_written_also_where_no_file_can_be_locked(
    recipe: Path, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lockf(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", lockf)
    assert taskkit.run(recipe, ["trainer.max_epochs=0"], out=tmp_path / "run", plugins=plugins).status == "finished"


def test_resume_auto_starts_anew_and_then_goes_on_with_what_did_not_finish(
    recipe: Path, series_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from taskkit.cli import main

    monkeypatch.syspath_prepend(str(series_site))
    monkeypatch.setenv("TASKKIT_PLUGINS", "series")
    words = ["run", str(recipe), "--resume", "auto"]
    assert CliRunner().invoke(main, words).exit_code == 0
    (run,) = (tmp_path / "runs" / "waves").iterdir()
    manifest = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(manifest | {"status": "failed"}))
    said = CliRunner().invoke(main, words).output
    assert f"Going on with runs/waves/{run.name} from step 48" in said
    assert json.loads((run / "run.json").read_text())["status"] == "finished"


def test_a_checkpoint_that_is_none_of_ours_is_refused(
    finished: taskkit.LoadedRun, plugins: Plugins, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "run.json").write_text((finished.path / "run.json").read_text())
    best = run / "checkpoints" / "best.ckpt"

    torch.save({"state_dict": {}, "code": _Evil(tmp_path / "owned")}, best)
    with pytest.raises(CheckpointError, match="refused, since it holds more than weights"):
        taskkit.load_run(run, plugins=plugins).predict(["1,2"])
    assert not (tmp_path / "owned").exists()

    torch.save({"state_dict": {}}, best)
    with pytest.raises(CheckpointError, match="not a checkpoint of taskkit"):
        taskkit.load_run(run, plugins=plugins).predict(["1,2"])

    best.write_bytes(finished.checkpoint.read_bytes()[:500])
    with pytest.raises(CheckpointError, match="damaged"):
        taskkit.load_run(run, plugins=plugins).predict(["1,2"])

    weight = next(iter(weights(finished.path).values()))
    whole = finished.checkpoint.read_bytes()
    at = whole.index(weight.numpy().tobytes())
    best.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
    with pytest.raises(CheckpointError, match=r"damaged or no checkpoint.*the checksum of .* is another"):
        taskkit.load_run(run, plugins=plugins).predict(["1,2"])


def test_a_damaged_line_of_metrics_is_named_and_half_a_last_one_is_not_there_yet(
    finished: taskkit.LoadedRun, plugins: Plugins, tmp_path: Path
) -> None:
    (tmp_path / "run.json").write_text((finished.path / "run.json").read_text())
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 1}\n{"step": 2, "tra')
    run = taskkit.load_run(tmp_path, plugins=plugins)
    assert run.history() == [{"step": 1}]
    log.write_text('{"step": 1}\ngarbage\n')
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl:2: damaged"):
        run.history()


class _Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_directory_that_is_no_run_is_one_clear_line(
    taskkit: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    for words in (["eval", str(tmp_path)], ["predict", str(tmp_path), "1,2"], ["run", "--resume", str(tmp_path)]):
        done = taskkit(*words)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "no run.json here" in done.stderr


def test_a_test_says_what_its_metrics_are_worth_and_how_they_follow_from_the_rows(finished: taskkit.LoadedRun) -> None:
    interval = finished.manifest.intervals["test/mae"]
    assert interval.low is not None
    assert interval.high is not None
    assert interval.low < interval.value < interval.high
    assert interval.value == pytest.approx(finished.metrics["test/mae"], rel=1e-3)
    assert (interval.method, interval.rows, interval.groups) == ("BCa", 32, None)
    assert finished.manifest.protocol is not None
    assert finished.manifest.protocol.statistics == {
        "mae": {"form": "mean", "columns": ["absolute_error"], "ideal": 0.0, "direction": "min"}
    }
    assert f"95 % {interval.low:.4f}–{interval.high:.4f} (BCa)" in (finished.path / "log.txt").read_text()


def test_a_statistic_that_runs_could_not_be_compared_by_is_refused_before_training(
    recipe: Path, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from taskkit_series.forecast import Forecast

    wrong: list[tuple[dict[str, object], str]] = [
        ({"rmse": taskkit.Mean("absolute_error")}, "'rmse', which is none of its metrics"),
        ({"mae": taskkit.Of(len, ("absolute_error",))}, r"builtins:len, which its component does not\s+declare"),
        ({"mae": "absolute_error"}, "gave a str for 'mae'"),
    ]
    for number, (statistics, said) in enumerate(wrong):
        monkeypatch.setattr(Forecast, "statistics", lambda self, given=statistics: given)
        with pytest.raises(taskkit.RunFailedError, match=said):
            taskkit.run(recipe, out=tmp_path / str(number), plugins=plugins)
        assert not (tmp_path / str(number) / "metrics.jsonl").exists()


def test_a_statistic_of_a_column_that_there_is_not_is_told_at_the_test(
    recipe: Path, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from taskkit_series.forecast import Forecast

    monkeypatch.setattr(Forecast, "statistics", lambda self: {"mae": taskkit.Mean("error", ideal=0.0)})
    run = taskkit.run(recipe, out=tmp_path / "run", plugins=plugins)
    log = (run.path / "log.txt").read_text()
    assert "no interval for test/mae: the rows have no column 'error'" in log
