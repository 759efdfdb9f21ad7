"""A smaller network is a run: judged, asked and compared like any other, and the same to the bit once it is read."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import taskkit
from taskkit.compression.compress import Prune, Quantise, compress
from taskkit.compression.prune import prune
from taskkit.engine.quantise import quantise, weight_bytes
from taskkit.plugins.discovery import discover
from taskkit.report import numbers
from taskkit.report.make import report

pytest.importorskip("torchao")
OLD = Path(__file__).parent.parent / "runs" / "0.1"
RECIPE = """
title: Waves
seed: 3
task: {name: series.forecast}
model: {name: series.mlp, width: 64}
data: {name: series.waves}
trainer: {max_epochs: 2, accelerator: cpu, precision: 32-true}
"""


@pytest.fixture(scope="module")
def waves(series_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The directory of a trained run of a stranger's plugin, which is the working directory's child."""
    folder = tmp_path_factory.mktemp("waves")
    (folder / "waves.yaml").write_text(RECIPE)
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(series_site))
        patch.chdir(folder)
        patch.setenv("TASKKIT_CACHE", str(folder / "cache"))
        taskkit.run("waves.yaml", out=folder / "parent")
        yield folder / "parent"


def opened(path: Path) -> taskkit.LoadedRun:
    return taskkit.load_run(path)


def answers(run: taskkit.LoadedRun) -> list[Any]:
    return run.predictions()["prediction"].to_pylist()


@pytest.mark.parametrize("form", ["int8", "fp8"])
def test_a_quantised_run_gives_to_the_bit_what_it_gave_when_read_back(waves: Path, form: str) -> None:
    out = waves.with_name(form)
    found = compress(opened(waves), Quantise(form), out)
    again = opened(out).evaluate("test")
    assert again.metrics == found.run.metrics
    assert [row["prediction"] for row in again.rows] == [row["prediction"] for row in opened(out).evaluate("test").rows]
    assert found.run.metrics != opened(waves).metrics
    assert answers(found.run) != answers(opened(waves))
    made = found.run.manifest.compressed
    assert made is not None
    assert made.bytes_after is not None
    assert made.bytes_before is not None
    assert made.bytes_after < made.bytes_before
    assert Path(made.where(out)).resolve() == waves.resolve()


def test_it_is_compared_with_its_parent_on_the_same_examples(waves: Path) -> None:
    found = compress(opened(waves), Prune(0.9), waves.with_name("pruned"))
    assert len(found.compared.lines) == 2
    (difference,) = found.compared.differences
    assert difference.spread.low is not None
    assert difference.spread.value != 0


def test_its_report_says_what_it_was_made_of_and_what_that_gave(waves: Path) -> None:
    out = waves.with_name("reported")
    found = compress(opened(waves), Prune(0.5), out)
    page = report([str(out)], discover(), data=False)
    for words in ("Made of parent: prune 0.5", "weights in memory", "one answer", "answers a second, in batches"):
        assert words in page
    for run in (opened(waves), found.run):
        assert numbers.number(run.metrics["test/mae"]) in page
    shutil.move(waves, waves.with_name("elsewhere"))
    try:
        assert "weights in memory" in report([str(out)], discover(), data=False)
    finally:
        shutil.move(waves.with_name("elsewhere"), waves)


def test_a_pruned_run_can_be_quantised_and_a_quantised_one_cannot(waves: Path) -> None:
    parent = opened(waves)
    compress(parent, Prune(0.5), waves.with_name("half"))
    both = compress(opened(waves.with_name("half")), Quantise("int8"), waves.with_name("both"))
    zeros = torch.load(both.run.checkpoint, weights_only=True)["state_dict"]
    weights = torch.cat([value.flatten() for name, value in zeros.items() if name.endswith("weight")])
    assert float((weights == 0).float().mean()) == pytest.approx(0.5, abs=0.01)
    with pytest.raises(taskkit.TaskkitError, match="quantised already"):
        compress(opened(waves.with_name("both")), Prune(0.5), waves.with_name("never"))
    assert not waves.with_name("never").exists()
    assert parent.evaluate("test").metrics == parent.metrics


def test_the_largest_weights_stay_and_whole_rows_go_where_that_is_asked() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 10), nn.ReLU(), nn.Linear(10, 3))
    before = torch.cat([network[0].weight.flatten(), network[2].weight.flatten()]).detach().abs()
    assert prune(network, 0.25, structured=False) == pytest.approx(0.25, abs=0.01)
    after = torch.cat([network[0].weight.flatten(), network[2].weight.flatten()]).detach()
    assert before[after == 0].max() <= before[after != 0].min()
    rows = nn.Sequential(nn.Linear(8, 10), nn.ReLU(), nn.Linear(10, 3))
    prune(rows, 0.5, structured=True)
    assert int((rows[0].weight == 0).all(dim=1).sum()) == 5
    assert not (rows[2].weight == 0).any()


def test_four_bits_are_for_layers_that_they_suit() -> None:
    network = nn.Sequential(nn.Linear(64, 8))
    x = torch.randn(3, 64)
    exact = network(x)
    quantise(network, "int4")
    apart = (network(x) - exact).abs().max()
    assert 0 < apart < 0.5
    assert weight_bytes(network) < 4 * 64 * 8
    with pytest.raises(taskkit.TaskkitError, match="multiple of 32"):
        quantise(nn.Sequential(nn.Linear(12, 8)), "int4")
    with pytest.raises(taskkit.TaskkitError, match=r"no torch\.nn\.Linear"):
        quantise(nn.Sequential(nn.Conv1d(1, 1, 1)), "int8")


def test_what_cannot_be_compressed_leaves_nothing_behind(waves: Path) -> None:
    with pytest.raises(taskkit.TaskkitError, match="between 0 and 1"):
        compress(opened(waves), Prune(1.5), waves.with_name("none"))
    assert not waves.with_name("none").exists()


@pytest.mark.parametrize("name", ["image", "text", "recsys", "speech"])
def test_runs_of_each_modality_are_quantised_and_asked(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(OLD, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    found = compress(opened(Path(name)), Quantise("int8"), tmp_path / "small")
    assert found.run.status == "finished"
    assert opened(tmp_path / "small").evaluate("test").metrics == found.run.metrics


def test_a_quantised_network_is_explained_without_gradients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(OLD, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    found = compress(opened(Path("image")), Quantise("int8"), tmp_path / "small")
    explained = taskkit.explain(found.run, "data/images/across")[0]
    assert explained.method == "shap"
    assert explained.sum is not None
    assert explained.sum.holds
    assert "without a gradient" in explained.settings["instead of"]


def test_the_command_line_says_what_it_costs_and_others_go_on_from_there(
    waves: Path, series_site: Path, environment: Callable[..., dict[str, str]]
) -> None:
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "taskkit", *arguments]
        return subprocess.run(words, capture_output=True, text=True, env=environment(series_site))

    done = call("compress", "parent", "--quantise", "int8", "-o", "cli")
    assert done.returncode == 0, done.stderr
    assert "weights in memory" in done.stdout
    assert "to the best" in done.stdout
    assert call("compress", "parent", "--quantise", "int8", "-o", "cli").returncode == 2
    assert call("report", "cli", "--no-data", "-o", "cli.html").returncode == 0
    assert call("compress", "parent").returncode == 2
