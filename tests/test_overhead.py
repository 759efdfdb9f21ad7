"""What a training step costs on the host, by what is the same every time: the number of Python calls."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parent / "benchmarks"
RESULTS = Path(__file__).parents[1] / "docs" / "results"

STEPS = 100
"""Twice as many as there are between two drains of the meter."""

ALLOWANCE = 450
"""Calls a step above Lightning with everything off: four callbacks with six hooks each cost 290 of them."""

GOAL = 0.35
"""The largest share of the calls that Lightning's defaults add to a loop written by hand."""


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, float]:
    """Python calls a step of each driver, all of the same work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        patch.setenv("TASKKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        from step_cost import drivers

        batches = STEPS + 22
        window = ("task.warmup=20", f"task.steps={STEPS}", f"trainer.max_steps={batches}")
        work = drivers.Work(BENCHMARKS / "mlp.yaml", ("task.measure=calls", f"data.samples={16 * batches}", *window))
        rows = {"raw": drivers.raw, "bare": drivers.bare, "quiet": drivers.quiet, "taskkit": drivers.ours}
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        reports = {name: work.run(driver) for name, driver in rows.items()}
        assert all(report["losses"] == pytest.approx(reports["raw"]["losses"], abs=1e-6) for report in reports.values())
        reports["again"] = work.run(drivers.ours)
        torch.set_num_threads(threads)
    return {name: report["calls"] / STEPS for name, report in reports.items()}


def test_counting_calls_twice_gives_the_same_number(calls: Mapping[str, float]) -> None:
    assert calls["again"] == pytest.approx(calls["taskkit"], abs=0.1)


def test_a_step_makes_few_more_calls_than_lightning_with_everything_off(calls: Mapping[str, float]) -> None:
    assert calls["taskkit"] <= calls["bare"] + ALLOWANCE


def test_a_step_adds_far_fewer_calls_than_the_defaults_of_lightning(calls: Mapping[str, float]) -> None:
    assert calls["taskkit"] - calls["raw"] <= GOAL * (calls["quiet"] - calls["raw"])


def test_the_page_of_results_is_what_the_script_renders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from step_cost import page

    assert (RESULTS / page.PAGE).read_text() == page.page(RESULTS)
