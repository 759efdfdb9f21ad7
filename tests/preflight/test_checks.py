"""`taskkit check` on a recipe whose network is wrong, on one whose process is killed, and taken strictly."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from taskkit.cli import main
from taskkit.engine.smaller import changes, smaller
from taskkit.errors import OutOfMemoryError, TaskkitError
from taskkit.plugins.registry import Plugins
from taskkit.preflight.fitting import fitting
from taskkit.preflight.short import tried
from taskkit.recipe.load import load


def check(*words: str) -> Result:
    return CliRunner().invoke(main, ["check", "blobs.yaml", *words])


def test_a_deep_look_says_all_that_is_known_ahead_and_strictly_a_warning_is_an_error(
    plugins: Plugins, tmp_path: Path
) -> None:
    before = set(tmp_path.iterdir())
    ended = check("model.fault=huge", "--deep", "--strict", "--json")
    assert ended.exit_code == 2, ended.output
    said: dict[str, Any] = json.loads(ended.stdout)
    assert [(each["kind"], each["severity"]) for each in said["ahead"]] == [
        ("first loss", "warning"),
        ("one batch", "info"),
        ("time", "info"),
        ("memory", "info"),
        ("disk", "info"),
        ("disk", "info"),
    ]
    assert said["data"][0]["message"] == "120 train, 40 val, 40 test examples."
    assert said["problems"][0]["message"].startswith("1 warning said above, and --strict allows none.")
    assert 0 < said["ahead"][2]["numbers"]["training"] < said["ahead"][2]["numbers"]["total"] < 300
    assert {path.name for path in set(tmp_path.iterdir()) - before} <= {"cache"}


def test_warnings_of_the_data_are_told_and_with_strict_they_are_errors(plugins: Plugins) -> None:
    assert check("--data", "--strict").exit_code == 0
    ended = check("--data", "data.fault=untested")
    assert (ended.exit_code, ended.stdout) == (0, "blobs.yaml: no errors, 1 warning\n")
    strict = check("--data", "data.fault=untested", "--strict")
    assert strict.exit_code == 2
    assert "warning: split: There is no test split" in strict.stderr
    assert strict.stderr.splitlines()[-1].startswith("strict: 1 warning said above, and --strict allows none")


def test_what_a_short_run_refuses_is_said_in_its_words_alone(plugins: Plugins) -> None:
    # What lies in the folder that taskkit is called in, as one that somebody sent, is no code of ours.
    Path("psutil.py").write_text("raise SystemExit('run')")
    with pytest.raises(TaskkitError, match=r"^loader\.batch_size: the training split has \d+ samples") as caught:
        tried(load(["blobs.yaml"], ["loader.batch_size=4096"], plugins))
    assert caught.value.exit_code == 2


def test_a_recipe_whose_short_run_is_killed_is_told_so_and_nothing_else_is_lost(plugins: Plugins) -> None:
    with pytest.raises(
        OutOfMemoryError, match=r"A short run of this recipe was killed\. Most likely the memory was full"
    ):
        tried(load(["blobs.yaml"], ["task.fault=killed"], plugins))


def test_the_largest_batch_that_fits_is_found_by_trying_and_said_with_what_it_takes(plugins: Plugins) -> None:
    # Of 16 points 8 are too many for this network.
    said = fitting(load(["blobs.yaml"], ["model.fault=greedy", "trainer.accumulate_grad_batches=2"], plugins))
    wanted = "`loader.batch_size=4 trainer.accumulate_grad_batches=8`"
    assert said.startswith(f"What fits, as a short run measured: {wanted}, about ")


def test_what_makes_a_batch_smaller_is_written_as_it_is(plugins: Plugins) -> None:
    recipe = load(["blobs.yaml"], ["loader.budget=4194306", "loader.eval_batch_size=3"], plugins).recipe
    half = smaller(recipe, 2)
    assert half is not None
    wanted = "loader.budget=2097153 loader.eval_batch_size=1 trainer.accumulate_grad_batches=2"
    assert changes(recipe, half) == wanted
    again = load(["blobs.yaml"], ["loader.budget=4194306", *wanted.split()], plugins).recipe
    assert (again.loader.budget, again.loader.eval_batch_size) == (half.loader.budget, half.loader.eval_batch_size)


def test_where_not_even_one_sample_fits_a_smaller_network_is_asked_for(plugins: Plugins) -> None:
    ended = check("--deep", "model.fault=greediest", "loader.batch_size=1")
    assert ended.exit_code == 2
    assert "found the memory full. No batch is small enough: choose a smaller network" in ended.stderr
