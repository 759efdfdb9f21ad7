"""What trackers have of a run, as their own readers show it, and what a run has of a tracker that fails."""

from __future__ import annotations

import csv
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import yaml

import taskkit
from taskkit.contracts.hookspecs import hookimpl
from taskkit.engine.signals import Preempted
from taskkit.engine.trackers import Tracker, without_secrets
from taskkit.engine.tracking import Feed, Tracking
from taskkit.plugins.discovery import discover
from taskkit.plugins.registry import Plugins
from tests.same_run import assert_same_run, losses

RECIPE = """\
title: Waves
seed: 3
task: {name: series.forecast}
model: {name: series.mlp}
data: {name: series.waves, series: 40}
loader: {batch_size: 8}
optim: {lr: 1.0e-2, warmup: 0.1}
trainer: {max_epochs: 3, accelerator: cpu}
meter: {every_n_steps: 3, flops: false}
"""
"""Three epochs of four batches: four drains and three validations."""
ALL = "trackers={csv: true, tensorboard: true, mlflow: {experiment: tests}, wandb: {project: tests, mode: offline}}"
LOCAL = "trackers={csv: true, tensorboard: true}"
LIBRARIES = ("mlflow", "tensorboard", "wandb")

Seen = dict[int, list[dict[str, float]]]
"""By step what was told of it, in the order of the names."""


@pytest.fixture(autouse=True)
def here(series_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(series_site))
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "waves.yaml").write_text(RECIPE)


def with_callback(callback: pl.Callback) -> Plugins:
    class Plugin:
        @hookimpl
        def taskkit_callbacks(self, recipe: Any) -> list[pl.Callback]:
            return [callback]

    return discover({"series"}, extra={"watching": Plugin()})


# What each tracker's own reader shows: by step the values by name.


def of_csv(run: Path) -> Seen:
    seen: Seen = {}
    with (run / "trackers/csv/metrics.csv").open() as file:
        for row in csv.DictReader(file):
            step = int(row.pop("step"))
            seen.setdefault(step, []).append({name: float(value) for name, value in row.items() if value})
    return seen


def of_tensorboard(run: Path) -> Seen:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(run / "trackers/tensorboard"), size_guidance={"scalars": 0})
    read.Reload()
    points = [(each.step, tag, each.value) for tag in read.Tags()["scalars"] for each in read.Scalars(tag)]
    return of_points(points)


def of_mlflow(run: Path) -> Seen:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{run.resolve()}/trackers/mlflow/mlflow.db")
    found = client.get_run(json.loads((run / "trackers/mlflow.json").read_text())["run"])
    histories = [client.get_metric_history(found.info.run_id, name) for name in found.data.metrics]
    return of_points([(each.step, each.key, each.value) for history in histories for each in history])


def of_wandb(run: Path) -> Seen:
    seen: Seen = {}
    for record in records(run):
        if record.HasField("history"):
            row = {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
            step = row.pop("trainer/global_step")
            seen.setdefault(step, []).append({name: v for name, v in row.items() if not name.startswith("_")})
    return seen


def records(run: Path) -> Iterator[Any]:
    """The records of Weights & Biases's transaction logs, which are LevelDB's log files behind a header."""
    from wandb.proto.wandb_internal_pb2 import Record

    for path in sorted((run / "trackers/wandb").glob("offline-run-*/*.wandb")):
        data, at, block, part = path.read_bytes(), 7, 32768, b""
        assert data[:4] == b":W&B"
        while at + 7 <= len(data):
            if block - at % block < 7:
                at += block - at % block
                continue
            length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
            part += data[at + 7 : at + 7 + length]
            at += 7 + length
            # Whole, or the last part.
            if kind in (1, 4):
                record = Record()
                record.ParseFromString(part)
                part = b""
                yield record


def of_points(points: list[tuple[int, str, float]]) -> Seen:
    """Points that stand alone, put together again: the first of each name at a step, then the second."""
    seen: Seen = {}
    for step, name, value in points:
        lines = seen.setdefault(step, [])
        line = next((line for line in lines if name not in line), None)
        if line is None:
            lines.append(line := {})
        line[name] = value
    return seen


READERS: Mapping[str, Callable[[Path], Seen]] = {
    "csv": of_csv,
    "tensorboard": of_tensorboard,
    "mlflow": of_mlflow,
    "wandb": of_wandb,
}


def measured(run: Path) -> Seen:
    """What metrics.jsonl and run.json say."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    tested = json.loads((run / "run.json").read_text())["metrics"]
    seen: Seen = {}
    for line in [*lines, {"step": lines[-1]["step"], **tested}]:
        seen.setdefault(line.pop("step"), []).append(line)
    return seen


def points(seen: Seen, *, timed: bool = True) -> list[tuple[int, str, float]]:
    """Every value with its step and name, in order; without those of the clock unless `timed`."""
    return sorted(
        (step, name, value)
        for step, lines in seen.items()
        for line in lines
        for name, value in line.items()
        if timed or "second" not in name
    )


def assert_same(found: Seen, expected: Seen, *, timed: bool = True) -> None:
    one, other = points(found, timed=timed), points(expected, timed=timed)
    assert [each[:2] for each in one] == [each[:2] for each in other]
    # TensorBoard keeps single precision.
    assert [each[2] for each in one] == pytest.approx([each[2] for each in other], rel=1e-6)


@pytest.fixture(scope="module")
def tracked(series_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that all trackers were told of."""
    for library in (*LIBRARIES, "sqlalchemy", "alembic"):
        pytest.importorskip(library)
    place = tmp_path_factory.mktemp("tracked")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(series_site))
        patch.setenv("TASKKIT_CACHE", str(place / "cache"))
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("WANDB_ERROR_REPORTING", "false")
        patch.setenv("WANDB_API_KEY", "0123456789abcdef0123456789abcdef01234567")
        (place / "waves.yaml").write_text(RECIPE)
        taskkit.run(place / "waves.yaml", [ALL], out=place / "run")
        assert "MLFLOW_TRACKING_URI" not in os.environ
    return place / "run"


@pytest.mark.parametrize("tracker", READERS)
def test_a_tracker_shows_what_the_run_measured(tracker: str, tracked: Path) -> None:
    assert_same(READERS[tracker](tracked), measured(tracked))


def test_trackers_are_told_the_recipe_and_what_the_run_is(tracked: Path) -> None:
    from mlflow.tracking import MlflowClient
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tags = {"title": "Waves", "seed": "3", "run": "run", "headline": "test/mae"}
    kept = yaml.safe_load((tracked / "trackers/csv/hparams.yaml").read_text())
    assert kept["optim"]["lr"] == 0.01
    assert kept["tags"] == tags
    client = MlflowClient(f"sqlite:///{tracked}/trackers/mlflow/mlflow.db")
    run = client.get_run(json.loads((tracked / "trackers/mlflow.json").read_text())["run"])
    assert run.data.params["optim/lr"] == "0.01"
    assert run.data.params["model/name"] == "series.mlp"
    assert tags.items() <= run.data.tags.items()
    assert (run.info.run_name, run.info.status) == ("Waves", "FINISHED")
    (begun,) = [record.run for record in records(tracked) if record.HasField("run")][:1]
    assert (begun.project, begun.display_name) == ("tests", "Waves")
    assert {*begun.tags} == {f"{name}={text}" for name, text in tags.items()}
    config = {each.key: json.loads(each.value_json) for r in records(tracked) for each in r.config.update}
    assert config["optim"]["lr"] == 0.01
    read = EventAccumulator(str(tracked / "trackers/tensorboard"))
    read.Reload()
    assert "recipe/text_summary" in read.Tags()["tensors"]
    assert "_hparams_/session_start_info" in read.summary_metadata


def test_nothing_of_a_key_or_an_example_is_in_what_trackers_leave(tracked: Path) -> None:
    files = [path for path in tracked.rglob("*") if path.is_file() and "checkpoints" not in path.parts]
    texts = {path.name: path.read_bytes() for path in files}
    assert len(texts) > 8
    assert [name for name, text in texts.items() if b"0123456789abcdef0123456789abcdef" in text] == []
    ids = [row["id"] for row in _rows(tracked)]
    ours = [path for path in files if "trackers" in path.parts]
    assert [path.name for path in ours for each in ids if f'"{each}"'.encode() in path.read_bytes()] == []


def _rows(run: Path) -> list[dict[str, Any]]:
    from pyarrow import parquet

    rows: list[dict[str, Any]] = parquet.read_table(run / "predictions.parquet").to_pylist()
    return rows


def test_a_run_that_is_tracked_is_the_same_run(tracked: Path, tmp_path: Path) -> None:
    taskkit.run("waves.yaml", out="plain")
    assert_same_run(tmp_path / "plain", tracked)
    assert not (tmp_path / "plain" / "trackers").exists()


class KillWhenTold(pl.Callback):
    """Kills this process before a step, once all trackers took the lines before it.

    Before the first step it notes which of their libraries were imported already.
    """

    def __init__(self, step: int, lines: int) -> None:
        self.step, self.lines = step, lines

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, i: int) -> None:
        if trainer.global_step == 0:
            Path("imported.json").write_text(json.dumps([name for name in LIBRARIES if name in sys.modules]))
        if trainer.global_step == self.step - 1:
            while not self._told():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)

    def _told(self) -> bool:
        kept = [Path(f"killed/trackers/{name}.json") for name in ("mlflow", "wandb")]
        if not all(path.exists() and json.loads(path.read_text())["lines"] == self.lines for path in kept):
            return False
        threads = [thread.ident for thread in threading.enumerate() if thread.name.startswith("tracker-")]
        # Those that wait for a line are in no function of a tracker.
        return {sys._current_frames()[ident].f_code.co_name for ident in threads if ident} == {"_work"}


def test_a_run_that_was_killed_goes_on_in_its_trackers_and_tells_no_step_twice(
    tracked: Path, tmp_path: Path, environment: Callable[..., dict[str, str]], series_site: Path
) -> None:
    # The fifth line, of step 9, is later than the last checkpoint, of step 8.
    code = """
import taskkit
from tests.engine.test_tracking import ALL, KillWhenTold, with_callback
taskkit.run("waves.yaml", [ALL], out="killed", plugins=with_callback(KillWhenTold(10, 5)))
"""
    root = Path(__file__).parents[2]
    paths = [series_site, root, *map(Path, filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))]
    ended = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, env=environment(*paths))
    assert ended.returncode == -signal.SIGKILL
    assert json.loads(Path("imported.json").read_text()) == []
    assert len(losses(tmp_path / "killed")) == 5
    before = {name: json.loads(Path(f"killed/trackers/{name}.json").read_text()) for name in ("mlflow", "wandb")}
    taskkit.resume("killed")
    run = tmp_path / "killed"
    assert losses(run) == losses(tracked)
    for tracker, read in READERS.items():
        # MLflow takes nothing back, and has the times of the first time.
        assert_same(read(run), measured(run), timed=tracker != "mlflow")
    for name, known in before.items():
        assert json.loads(Path(f"killed/trackers/{name}.json").read_text()) == {**known, "lines": 8}
    (offline,) = Path("killed/trackers/wandb").glob("offline-run-*")
    assert offline.name.endswith(before["wandb"]["run"])


def test_a_tracker_that_fails_in_the_midst_is_told_of_once_and_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Break(pl.Callback):
        """Puts a folder where the table is, once there is one."""

        def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
            path = Path("run/trackers/csv/metrics.csv")
            if trainer.global_step == 4:
                while not path.exists():
                    time.sleep(0.01)
                path.unlink()
                path.mkdir()

    run = taskkit.run("waves.yaml", ["trackers=[csv]"], out="run", plugins=with_callback(Break()))
    assert run.status == "finished"
    (note,) = json.loads((tmp_path / "run" / "run.json").read_text())["notes"]
    assert note.startswith("tracker csv: IsADirectoryError: ")
    assert note.endswith("The run goes on without it.")
    said = capsys.readouterr().out
    assert said.count("tracker csv") == 1
    assert "tracked by csv, below run/trackers" in said


def test_a_tracker_that_cannot_begin_stops_nothing_and_tells_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somebody:let-me-in@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run = taskkit.run("waves.yaml", ["trackers=[mlflow]", "trainer.max_epochs=1"], out="run")
    assert run.status == "finished"
    (note,) = run.manifest.notes
    assert note.startswith("tracker mlflow: ")
    assert "127.0.0.1" in note or "API request" in note
    assert [p.name for p in (tmp_path / "run").rglob("*") if p.is_file() and b"let-me-in" in p.read_bytes()] == []


def test_what_is_told_of_a_failure_has_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789")
    assert without_secrets("key 0123456789 at https://me:pass@host/x") == "key … at https://…@host/x"


def test_a_tracker_that_hangs_is_not_waited_for() -> None:
    free, begun = threading.Event(), threading.Event()

    def begin() -> Tracker:
        begun.set()
        free.wait()
        raise RuntimeError("too late")

    said: list[str] = []
    track = Tracking([Feed("slow", begin, [])], None, said.append)
    clock = time.monotonic()
    for number in (1, 2, 3):
        track.line(number, {"step": number, "train/loss": 0.5})
    assert begun.wait(5)
    track.end("finished", 0.05)
    assert time.monotonic() - clock < 5
    assert said == [
        "tracker slow: it has not taken everything yet, and the run does not wait any longer. "
        "The run goes on without it."
    ]
    free.set()


def test_a_run_that_ends_before_its_first_line_begins_no_tracker(tmp_path: Path) -> None:
    class Stop(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, i: int) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Preempted):
        taskkit.run("waves.yaml", [LOCAL.replace("tensorboard: true", "")], out="run", plugins=with_callback(Stop()))
    assert [*(tmp_path / "run" / "trackers").iterdir()] == []
    taskkit.resume("run")
    assert_same(of_csv(tmp_path / "run"), measured(tmp_path / "run"))
