"""The benchmark of CUDA devices, tried in small on the CPU: what it measures, refuses, keeps and renders."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from taskkit.plugins.discovery import discover

BENCHMARKS = Path(__file__).parent / "benchmarks"
SCRIPT = BENCHMARKS / "gpu.py"
RESULTS = BENCHMARKS.parents[1] / "docs" / "results"
MODULES = (
    "conducting",
    "cuda_tests",
    "drivers",
    "installing",
    "kept",
    "page",
    "stopwatch",
    "timing",
    "training",
    "works",
)


@pytest.fixture(scope="module")
def gpu() -> Iterator[SimpleNamespace]:
    """The modules of the benchmark."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield SimpleNamespace(**{name: importlib.import_module(f"on_device.{name}") for name in MODULES})


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def timing(gpu: SimpleNamespace, folder: Path, *, work: str = "sasrec", until: float = float("inf")) -> Any:
    """A tiny work, to be measured once."""
    found = gpu.works.WORKS[work]
    overrides = found.overrides(folder / "files", tiny=True)
    # What compiles is tried by the script, where torch is told not to.
    plain = replace(found, tuned=())
    return gpu.timing.Timing(plain, overrides, gpu.timing.TINY_WINDOW, discover(), until, 1)


def measured(gpu: SimpleNamespace, folder: Path, *rows: Any, **options: Any) -> Mapping[str, Any]:
    """What is kept of these rows, of batches that are held and of batches that are read."""
    kept = gpu.kept.Kept(folder / "found.json", {})
    tables = {gpu.timing.RESIDENT: rows, gpu.timing.LOADED: rows[:1]}
    timing(gpu, folder, **options).measure(kept, tables, peak=1e12)
    return json.loads((folder / "found.json").read_text())


def test_every_driver_takes_the_same_work_and_has_figures(gpu: SimpleNamespace, cache: Path) -> None:
    found = measured(gpu, cache, gpu.timing.RAW, gpu.timing.FACE, gpu.timing.FACE_TUNED, gpu.timing.OURS)
    assert len(found["rows"]) == 5
    for row in found["rows"]:
        assert "failed" not in row, row
        assert row["apart"] < 1e-5
        assert row["steps"] == [10]
        assert row["milliseconds"][0] > 0
        assert 0 < row["padding"] < 1
        # One batch has as many examples for all of them, and of what is padding nothing counts as done.
        assert row["examples_per_second"][0] * row["milliseconds"][0] == pytest.approx(4000)
        assert row["mfu"] == pytest.approx(row["units_per_second"][0] * found["flops_per_unit"] / 1e12)
    held, read = found["rows"][0], found["rows"][-1]
    assert held["waiting"] < read["waiting"]


def test_a_row_that_does_other_work_or_none_has_failed_and_the_others_stay(gpu: SimpleNamespace, cache: Path) -> None:
    def slower(place: Any) -> None:
        place.resolved.recipe.optim.lr *= 100
        gpu.drivers.by_hand(place)

    def broken(place: Any) -> None:
        raise RuntimeError("the device is out of memory")

    row = gpu.timing.Row
    other, none = row("other", "", slower, tuned=False), row("none", "", broken, tuned=False)
    found = measured(gpu, cache, gpu.timing.RAW, other, none)["rows"]
    assert ["failed" in each for each in found] == [False, True, True, False]
    assert "milliseconds" not in found[1]
    assert "first losses are" in found[1]["failed"]
    assert found[2]["failed"] == "RuntimeError: the device is out of memory"


def test_no_row_is_begun_once_the_time_is_over(gpu: SimpleNamespace, cache: Path) -> None:
    assert measured(gpu, cache, gpu.timing.RAW, until=0.0)["rows"] == []


def test_rows_are_taken_forwards_and_backwards(gpu: SimpleNamespace, cache: Path) -> None:
    rows = (gpu.timing.RAW, gpu.timing.FACE, gpu.timing.OURS)
    turns = list(replace(timing(gpu, cache), repetitions=2)._turns({"resident": rows}))
    assert [row for _, row in turns] == [*rows, *rows[::-1]]


def test_launches_and_synchronisations_are_those_between_the_first_and_the_last_mark(gpu: SimpleNamespace) -> None:
    mark = gpu.stopwatch.MARK
    marks = [(mark, 10.0), (mark, 20.0), (mark, 30.0)]
    events = [
        ("cudaDeviceSynchronize", 5.0),
        ("cudaLaunchKernel", 11.0),
        ("cuLaunchKernelEx", 21.0),
        ("cudaLaunchKernelExC", 22.0),
        ("cudaGraphLaunch", 23.0),
        ("cudaStreamSynchronize", 24.0),
        ("cudaMemcpyAsync", 25.0),
        ("cudaLaunchKernel", 31.0),
        ("cudaDeviceSynchronize", 32.0),
    ]
    assert gpu.stopwatch.counted([*events, *marks], 2) == {"launches": 2.0, "synchronisations": 0.5}
    assert gpu.stopwatch.counted(marks, 2) == {"launches": None, "synchronisations": None}


def test_every_recipe_for_a_cuda_device_is_trained(gpu: SimpleNamespace) -> None:
    assert sorted(gpu.training.TRIALS) == gpu.training.for_cuda()
    assert {work.recipe for work in gpu.works.WORKS.values()} <= set(gpu.training.TRIALS)
    assert tuple(gpu.works.WORKS) == gpu.conducting.WORKS


def call(out: Path, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """The script, in small."""
    command = [sys.executable, str(SCRIPT), "run", "--tiny", "--out", str(out), *words]
    return subprocess.run(command, capture_output=True, text=True, **options)


def test_a_stage_that_fails_says_why_and_the_next_begins(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "wheels").mkdir()
    ended = call(out, "--wheels", str(tmp_path / "wheels"), "--stages", "install", "tests")
    assert ended.returncode == 1
    installed, tested = (json.loads((out / f"{stage}.json").read_text()) for stage in ("install", "tests"))
    assert installed["state"] == "failed"
    assert "it holds no wheel of taskkit-ml" in installed["reason"]
    assert installed["reason"] in ended.stdout
    assert tested["state"] == "finished"
    here = "passed" if torch.cuda.is_available() else "skipped"
    assert {row["state"] for row in tested["rows"]} == {here}
    assert len(tested["rows"]) >= 3


def test_a_stage_that_takes_longer_than_its_share_is_ended(tmp_path: Path) -> None:
    ended = call(tmp_path / "out", "--minutes", "0.02", "--stages", "sasrec")
    found = json.loads((tmp_path / "out" / "sasrec.json").read_text())
    assert found["state"] == "stopped"
    assert found["reason"] == "its share of the time was over, 1 s"
    assert found["tiny"]
    assert ended.returncode == 0


def test_a_call_that_is_killed_keeps_its_rows_and_leaves_no_process(tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [sys.executable, str(SCRIPT), "run", "--tiny", "--out", str(out), "--stages", "sasrec"]
    process = subprocess.Popen([*words, "--scratch", str(tmp_path / "scratch")], stdout=subprocess.DEVNULL)
    try:
        while not (rows := _rows(out / "sasrec.json")):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    finally:
        process.kill()
    found = json.loads((out / "sasrec.json").read_text())
    assert found["state"] == "running"
    assert found["rows"][: len(rows)] == rows
    assert len(found["rows"]) < len(found["planned"])
    assert _of(tmp_path) == []


def _rows(path: Path) -> list[Any]:
    return json.loads(path.read_text())["rows"] if path.exists() else []


def _of(folder: Path) -> list[str]:
    """The command lines of processes that name a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in line:
            found.append(line.decode())
    return found


@pytest.mark.slow
def test_all_of_it_runs_in_small(tmp_path: Path, gpu: SimpleNamespace) -> None:
    out = tmp_path / "out"
    ended = call(out, "--minutes", "20")
    assert ended.returncode == 0, ended.stdout
    found = {path.stem: json.loads(path.read_text()) for path in out.glob("*.json")}
    assert set(found) == {"tests", "recipes", *gpu.conducting.WORKS}
    assert {result["state"] for result in found.values()} == {"finished"}
    assert sorted(row["recipe"] for row in found["recipes"]["rows"]) == gpu.training.for_cuda()
    rows = [row for work in gpu.conducting.WORKS for row in found[work]["rows"]]
    assert len(rows) == len(gpu.conducting.WORKS) * sum(map(len, gpu.timing.TABLES.values()))
    assert [row for row in rows if "failed" in row] == []
    assert gpu.page.NONE in gpu.page.page(out)


def test_the_page_is_what_the_results_render(gpu: SimpleNamespace) -> None:
    assert (RESULTS / gpu.page.PAGE).read_text() == gpu.page.page(RESULTS / gpu.page.FOLDER)


def test_what_was_tried_in_small_is_no_result(gpu: SimpleNamespace, tmp_path: Path) -> None:
    assert gpu.page.NONE in gpu.page.page(tmp_path)
    found = result(tiny=True)
    (tmp_path / "sasrec.json").write_text(json.dumps(found))
    assert gpu.page.NONE in gpu.page.page(tmp_path)
    (tmp_path / "sasrec.json").write_text(json.dumps(found | {"tiny": False}))
    assert gpu.page.NONE not in gpu.page.page(tmp_path)


def test_a_page_tells_of_each_row_and_of_a_call_that_was_broken_off(gpu: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "sasrec.json").write_text(json.dumps(result(state="running")))
    page = gpu.page.page(tmp_path)
    assert "| a loop written by hand | 2.5 (2.0–3.0) | 2.6 | 51,200 | 4,000 | 25.0% | 41.2% | 1.5 | 0.1% |" in page
    assert " | 300 | 0 | 0 | 12 | 2 × 150–200 |" in page
    assert "Tuned: `compile=true`. 50 steps of warm-up, then 200 timed" in page
    assert "MFU is of 989 TFLOP/s." in page
    assert "| `taskkit run` | FAILED: OutOfMemoryError: a \\| b |" in page
    assert "This stage did not end by itself: the call was broken off." in page
    assert "Not reached in the time of the call: `taskkit run` (batches that are read)." in page


def test_a_page_tells_of_tests_and_recipes(gpu: SimpleNamespace, tmp_path: Path) -> None:
    tests = [{"test": "a", "state": "passed", "reason": None}, {"test": "b", "state": "failed", "reason": "no"}]
    (tmp_path / "tests.json").write_text(json.dumps(result(stage="tests", rows=tests)))
    trained = {
        "recipe": "fashion_mnist_vit",
        "data": "its own",
        "state": "finished",
        "reason": None,
        "steps": 900,
        "first_loss": [10, 2.3],
        "last_loss": [900, 0.25],
        "metrics": {"test/accuracy": 0.91},
        "peak_memory_bytes": 2**31,
    }
    made_up = trained | {"recipe": "sasrec_movielens_1m", "data": "made up"}
    broken = {"recipe": "bert_base_table", "data": "made up", "state": "failed", "reason": "no weights"}
    rows = [trained, made_up, broken]
    names = [*(row["recipe"] for row in rows), "wav2vec2_gpu"]
    (tmp_path / "recipes.json").write_text(json.dumps(result(stage="recipes", rows=rows, recipes=names, together=4)))
    page = gpu.page.page(tmp_path)
    assert "1 passed, 1 failed." in page
    assert "- failed: `b`: no" in page
    losses = "900 | 2.300 at 10, 0.250 at 900 | 2.0"
    assert f"| `fashion_mnist_vit` | its own | finished | {losses} | accuracy 0.9100 |" in page
    assert f"| `sasrec_movielens_1m` | made up | finished | {losses} |  |" in page
    assert "| `bert_base_table` | made up | FAILED: no weights | 0 |  |  |  |" in page
    assert "Not reached: `wav2vec2_gpu`." in page


def result(**changes: Any) -> dict[str, Any]:
    """What a stage that timed SASRec might have found."""
    row = {
        "table": "resident",
        "row": "raw",
        "says": "a loop written by hand",
        "repetitions": 2,
        "steps": [200, 150],
        "milliseconds": [2.5, 2.0, 3.0],
        "milliseconds_by_clock": [2.6, 2.1, 3.1],
        "examples_per_second": [51200.0, 1.0, 2.0],
        "units_per_second": [4e6, 1.0, 2.0],
        "padding": 0.25,
        "mfu": 0.412,
        "waiting": 0.001,
        "peak_memory_bytes": 1.5 * 2**30,
        "warmup_seconds": 12.0,
        "recompilations": 0,
        "launches": 300.0,
        "synchronisations": 0.0,
    }
    failed = {"table": "resident", "row": "taskkit", "says": "`taskkit run`", "failed": "OutOfMemoryError: a | b"}
    return {
        "stage": "sasrec",
        "tiny": False,
        "date": "2026-11-28T00:00:00+00:00",
        "git": "0" * 40,
        "command": "python gpu.py",
        "state": "finished",
        "reason": None,
        "machine": {"device": "NVIDIA H100", "driver": "580", "cpu": "16 x a CPU"},
        "packages": {"torch": "2.11.0"},
        "says": "SASRec",
        "unit": {"name": "items", "scale": 1000.0},
        "tuned": ["compile=true"],
        "limit": 0.02,
        "planned": [
            *({"table": "resident", "says": each["says"]} for each in (row, failed)),
            {"table": "loaded", "says": failed["says"]},
        ],
        "peak_flops": 989e12,
        "protocol": {"warmup": 50, "steps": 200, "seconds": 2.0, "profiled": 5},
        "rows": [row, failed],
        **changes,
    }
