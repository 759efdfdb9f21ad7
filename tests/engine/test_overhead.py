"""What a training step costs on the host, by what is the same every time: the number of Python calls."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
RESULTS = Path(__file__).parents[2] / "docs" / "results"

STEPS = 100
"""Twice as many as there are between two drains of the meter."""

HUGGING_FACE = ["hugging_face"] if all(map(importlib.util.find_spec, ("accelerate", "transformers"))) else []
"""accelerate is no dependency of taskkit; where it is missing this row is left out."""

ALLOWANCE = 150
"""Calls a step above a loop written by hand; 126 with the short way of `engine.loop`, 1,244 without."""

GOAL = 0.04
"""The largest share of the calls that Lightning's defaults add to a loop written by hand."""


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def calls(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, float]:
    """Python calls a step of each driver, all of the same work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        patch.setenv("TASKKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        from step_cost import drivers

        batches = STEPS + 22
        window = ("task.warmup=20", f"task.steps={STEPS}", f"trainer.max_steps={batches}")
        work = drivers.Work(BENCHMARKS / "mlp.yaml", ("task.measure=calls", f"data.samples={16 * batches}", *window))
        rows = {
            "raw": drivers.raw,
            "bare": drivers.bare,
            "quiet": drivers.quiet,
            "taskkit": drivers.ours,
            **dict.fromkeys(HUGGING_FACE, drivers.hugging_face),
        }
        reports = {name: work.run(driver) for name, driver in rows.items()}
        assert all(report["losses"] == pytest.approx(reports["raw"]["losses"], abs=1e-6) for report in reports.values())
        reports["again"] = work.run(drivers.ours)
    return {name: report["calls"] / STEPS for name, report in reports.items()}


def test_counting_calls_twice_gives_the_same_number(calls: Mapping[str, float]) -> None:
    assert calls["again"] == pytest.approx(calls["taskkit"], abs=0.1)


def test_a_step_makes_few_more_calls_than_a_loop_written_by_hand(calls: Mapping[str, float]) -> None:
    assert calls["taskkit"] <= calls["raw"] + ALLOWANCE


@pytest.mark.parametrize("other", ["bare", *HUGGING_FACE])
def test_a_step_makes_fewer_calls_than_another_trainer(calls: Mapping[str, float], other: str) -> None:
    assert calls["taskkit"] < calls[other]


def test_a_step_adds_far_fewer_calls_than_the_defaults_of_lightning(calls: Mapping[str, float]) -> None:
    assert calls["taskkit"] - calls["raw"] <= GOAL * (calls["quiet"] - calls["raw"])


def test_the_page_of_results_is_what_the_script_renders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from step_cost import page

    assert (RESULTS / page.PAGE).read_text() == page.page(RESULTS)


def test_a_driver_that_does_other_work_has_failed_and_gets_no_figure(
    one_thread: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path))
    from step_cost import drivers, protocol

    def faster(place: drivers.Place) -> None:
        place.resolved.recipe.optim.lr *= 2
        drivers.raw(place)

    window = ("task.warmup=20", "task.steps=5", "trainer.max_steps=27")
    work = drivers.Work(BENCHMARKS / "mlp.yaml", ("data.samples=432", *window))
    rows = [protocol.Row("raw again", "", drivers.raw), protocol.Row("other", "", faster)]
    found = protocol.paired(work, rows, rounds=2, steps=5, limit=1e-6, say=print)
    assert ["added" in row for row in found["rows"]] == [False, True, False]
    assert found["rows"][2]["largest_difference"] > 1e-6


def test_the_script_measures_every_driver_and_renders_what_it_found(tmp_path: Path) -> None:
    script = [sys.executable, str(BENCHMARKS / "steps.py")]
    rows = ["bare", "quiet", "usual", *HUGGING_FACE, "taskkit"]
    short = ["--rounds", "1", "--steps", "2", "--warmup", "20", "--rows", *rows]
    subprocess.run([*script, "cpu", *short, "--out", str(tmp_path / "cpu.json")], check=True)
    subprocess.run([*script, "page", str(tmp_path)], check=True)
    result, page = json.loads((tmp_path / "cpu.json").read_text()), (tmp_path / "steps.md").read_text()
    assert [row["row"] for row in result["rows"]] == ["raw", *rows]
    assert all(f"| {row['says']} | {row['us']:.0f} |" in page for row in result["rows"])
    assert "FAILED |" not in page
