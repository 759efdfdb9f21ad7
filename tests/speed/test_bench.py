"""`taskkit bench` times a recipe, a loop written by hand and changes in pairs, and advises what was measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from taskkit.plugins.registry import Plugins
from taskkit.recipe.load import load
from taskkit.speed import arms
from taskkit.speed.arms import Setting
from taskkit.speed.bench import Pairs, Report, Tried, bench, in_pairs
from taskkit.speed.changes import Change, worth_trying
from taskkit.speed.measured import Measured, Size
from taskkit.speed.words import lines

SETTING = Setting("cpu", "32-true", 1, resident=True, workers=0, unit="examples", scale=1.0, phases=False)
RUN = Measured(50, 1.0, 0.38, 2.0, Size(800, 800, 1600), (1.0, 0.9), 10**9, compiled=3)
GAIN = Pairs(1.4, 1.3, 1.5, 0.0, agrees=True)


@pytest.mark.parametrize(
    ("overrides", "resident"),
    [
        ((), True),
        (("loader.resident=no", "trainer.gradient_clip_val=0.1"), False),
        (("trainer.precision=bf16-mixed", "loader.encode=lazy", "loader.workers=1"), False),
    ],
    ids=["resident", "read, clipped", "bf16, lazily, by a worker"],
)
def test_the_loop_written_by_hand_does_the_work_of_the_run(
    overrides: tuple[str, ...], resident: bool, plugins: Plugins
) -> None:
    resolved = load(["blobs.yaml"], overrides, plugins)
    setting, run = arms.ours(resolved, plugins, steps=4)
    hand = arms.by_hand(resolved, steps=4)
    assert len(run.losses) == 5
    assert run.losses == hand.losses
    assert run.size.examples == hand.size.examples == 64
    assert run.batches == hand.batches == 4
    assert setting.resident == resident
    assert run.first_step > 0
    assert 0 <= run.waited < run.seconds


def test_a_recipe_is_timed_with_what_may_make_it_faster_and_leaves_nothing(plugins: Plugins, tmp_path: Path) -> None:
    before = {path for path in tmp_path.rglob("*") if "cache" not in path.parts and "__pycache__" not in path.parts}
    threads = torch.get_num_threads()
    said: list[str] = []
    found = bench(["blobs.yaml"], ["loader.resident=no", "trainer.max_epochs=5"], plugins, 3, said.append)
    after = {path for path in tmp_path.rglob("*") if "cache" not in path.parts and "__pycache__" not in path.parts}
    assert after == before
    # Not in a folder of its own: processes that read samples have sockets there, whose paths must be short.
    assert not [*Path(tempfile.gettempdir()).glob("taskkit-bench-*")]
    assert torch.get_num_threads() == threads
    assert found.by_hand is not None
    assert found.by_hand.agrees
    tried = {each.change.override for each in found.tried}
    assert {"loader.resident=auto", "loader.batch_size=32"} <= tried
    assert all(each.pairs is not None for each in found.tried)
    assert len(said) == 2 + len(found.tried)
    assert json.loads(json.dumps(found.plain()))["tried"][0]["gain"] > 0


def test_what_is_tried_follows_from_what_the_run_trained_with(plugins: Plugins) -> None:
    recipe = load(["blobs.yaml"], [], plugins).recipe
    resident = {each.override for each in worth_trying(recipe, SETTING)}
    assert not any(each.startswith(("loader.workers", "loader.resident", "loader.encode")) for each in resident)
    lazy = load(["blobs.yaml"], ["loader.encode=lazy"], plugins).recipe
    assert "loader.encode=ahead" in {each.override for each in worth_trying(lazy, replace(SETTING, resident=False))}
    pictures = {each.override for each in worth_trying(recipe, replace(SETTING, convolutional=True))}
    assert pictures - resident == {"channels_last=true"}
    on_gpu = {each.override for each in worth_trying(recipe, replace(SETTING, device="cuda:0"))}
    assert "compile=true" in on_gpu
    assert not any(each.startswith("trainer.threads") for each in on_gpu)


def test_only_what_was_measured_to_be_faster_and_to_agree_is_advised() -> None:
    tried = [
        Tried(Change("loader.workers=2", 1e-3), GAIN),
        Tried(Change("trainer.threads=2", 1e-3), replace(GAIN, low=0.9)),
        Tried(Change("trainer.precision=bf16-mixed", 1e-3), replace(GAIN, apart=0.5, agrees=False)),
        Tried(Change("loader.batch_size=32", 0.25, same_work=False), replace(GAIN, gain=2.0)),
        Tried(Change("loader.resident=yes", 1e-3), None, "memory is full"),
    ]
    text = "\n".join(lines(Report(SETTING, RUN, replace(GAIN, gain=1.25), "", tried)))
    assert "38.0% of the time is spent waiting for batches" in text
    assert "20.0% of a step is neither the network nor the loader" in text
    assert "torch compiled 3 times" in text
    assert "trainer.precision=bf16-mixed     FAILED: first losses are 50.0% apart" in text
    assert "loader.resident=yes              not possible: memory is full" in text
    advised = [line for line in text.splitlines() if line.startswith("With ")]
    assert advised == [
        "With loader.batch_size=32 2.0 times as many examples a second. It is another training: see whether it learns "
        "as well.",
        "With loader.workers=2 1.4 times as many examples a second.",
    ]


def test_two_ways_are_timed_in_turn_and_their_losses_compared() -> None:
    order: list[str] = []

    def way(name: str, seconds: float, losses: tuple[float, ...]) -> Measured:
        order.append(name)
        return replace(RUN, seconds=seconds, losses=losses)

    pairs = in_pairs(lambda: way("a", 2.0, (1.0, 1.0)), lambda: way("b", 1.0, (1.0, 1.02)), limit=0.01)
    assert order == ["a", "b", "b", "a"], "what does not agree is not timed again"
    order.clear()
    again = in_pairs(lambda: way("a", 2.0, (1.0,)), lambda: way("b", 1.0, (1.0,)), limit=0.01)
    assert order == ["a", "b", "b", "a"] * 2, "what seems faster is timed again"
    assert again.faster
    assert pairs.gain == pytest.approx(2.0)
    assert pairs.apart == pytest.approx(0.02)
    assert not pairs.agrees
    assert not pairs.faster


def called(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "taskkit", "bench", *words]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=200)


def test_the_verb_prints_json_and_refuses_what_is_wrong(plugins: Plugins) -> None:
    ended = called("blobs.yaml", "--steps", "3", "--json")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["examples_per_second"] > 0
    assert found["by_hand"]["agrees"]
    assert "timing a loop written by hand" in ended.stderr
    assert not Path("runs").exists()
    wrong = called("blobs.yaml", "loader.batch_sise=3")
    assert wrong.returncode == 2
    assert "batch_size" in wrong.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [("trainer.max_epochs=0", "takes no steps"), ("trainer.max_epochs=1", "too few batches")],
)
def test_a_recipe_that_cannot_be_timed_is_refused(change: str, said: str, plugins: Plugins) -> None:
    from taskkit.errors import TaskkitError

    with pytest.raises(TaskkitError, match=said):
        bench(["blobs.yaml"], [change], plugins, 3, lambda text: None)
