"""What a person who mistook a word is told: what was probably meant."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from taskkit.cli import Context, main
from taskkit.cli.cache import command as cache
from taskkit.cli.loading import WORDS
from taskkit.errors import CheckpointError, TaskkitError
from taskkit.runs import manifest
from taskkit.runs.record import Record, new_directory

Call = Callable[..., tuple[int, str]]

RECIPE = """\
task: {name: series.forecast}
model: {name: series.mlp}
data: {name: series.waves, series: 40}
loader: {batch_size: 8}
trainer: {max_epochs: 1, accelerator: cpu}
"""


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """The exit code and the last line on stderr of a command without plugins, in a directory with recipes/mlp.yaml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASKKIT_PLUGINS", "")
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    Path("recipes").mkdir()
    Path("recipes/mlp.yaml").write_text("task: {name: image.classification}\n")

    def call(*words: str, command: click.Command = main) -> tuple[int, str]:
        ended = CliRunner().invoke(command, words, obj=Context(no_plugins=True))
        assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exc_info
        return ended.exit_code, ended.stderr.strip().splitlines()[-1]

    return call


@pytest.mark.parametrize(("name", "meant"), [("mlp", "recipes/mlp.yaml"), ("recipes/mlp", "recipes/mlp.yaml")])
def test_the_name_of_a_recipe_without_its_folder_or_ending_is_understood(name: str, meant: str, call: Call) -> None:
    code, said = call("check", name)
    assert (code, said) == (
        2,
        f"{name}: there is no such file, and no recipe of this name. Did you mean {meant!r}?",
    )


@pytest.mark.parametrize(("verb", "meant"), [("train", "run"), ("fit", "run"), ("test", "eval"), ("models", "list")])
def test_what_other_tools_call_a_verb_is_understood(verb: str, meant: str, call: Call) -> None:
    assert call(verb, "recipes/mlp.yaml") == (2, f"Error: No verb named {verb!r}. Did you mean {meant!r}?")


@pytest.mark.parametrize(
    ("words", "change"),
    [
        (["--epochs", "3"], "trainer.max_epochs=3"),
        (["--batch-size=64"], "loader.batch_size=64"),
        (["--lr", "1e-3"], "optim.lr=1e-3"),
        (["--devices"], "trainer.devices=VALUE"),
    ],
)
@pytest.mark.parametrize("verb", ["run", "check", "show"])
def test_a_setting_written_as_an_option_is_told_as_a_change(
    verb: str, words: list[str], change: str, call: Call
) -> None:
    code, said = call(verb, "recipes/mlp.yaml", *words)
    assert code == 2
    option = words[0].partition("=")[0]
    assert said == f"Error: No such option: {option}. A recipe's settings are changed without dashes: {change}"


def test_an_option_that_is_no_setting_stays_unknown(call: Call) -> None:
    assert call("run", "recipes/mlp.yaml", "--zzz")[1] == "Error: No such option '--zzz'."


def test_a_run_where_a_recipe_is_expected_is_told_apart(call: Call, tmp_path: Path) -> None:
    run = tmp_path / "some"
    run.mkdir()
    (run / "run.json").write_text("{}")
    assert call("run", "some") == (
        2,
        "some: this is a run. Go on with it by `taskkit run --resume some`, or name its recipe, some/recipe.yaml, to "
        "begin another.",
    )


def test_a_file_of_a_run_where_the_run_is_expected_names_the_run(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    best.write_bytes(b"")
    (tmp_path / "run" / "run.json").write_text("{}")
    for path in (best, best.parent):
        with pytest.raises(CheckpointError) as caught:
            manifest.read(path)
        assert str(caught.value).endswith(f"Did you mean {str(tmp_path / 'run')!r}?")
    with pytest.raises(CheckpointError, match="there is no such directory"):
        manifest.read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "text", ["[]", "null", '"word"', "3", "[" * 100_000], ids=["list", "null", "text", "3", "deep"]
)
def test_a_manifest_that_is_no_object_is_damaged(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"run\.json: (damaged: it holds|cannot be read)"):
        manifest.read(tmp_path)


def test_a_directory_that_cannot_be_made_is_told_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file" / "run", tmp_path / ("x" * 300)):
        with pytest.raises(TaskkitError, match="no run directory can be made there"):
            Record.create(new_directory(out, "mlp"), manifest.Manifest("run", "running", {}), "")


@pytest.mark.parametrize("days", ["nan", "inf"])
def test_an_age_is_a_number_of_days(days: str, call: Call) -> None:
    assert call("--older", days, command=cache) == (
        2,
        f"Error: --older is {days}. Expected a number of days, such as 30.",
    )


def test_a_limit_of_nothing_needs_no_unit(call: Call) -> None:
    ended = CliRunner().invoke(cache, ["--limit=0"], obj=Context(no_plugins=True))
    assert (ended.exit_code, ended.stdout.splitlines()[0]) == (0, "freed 0 B")


def test_standard_input_is_read_once(call: Call) -> None:
    code, said = call("predict", "somewhere", "-", "-")
    assert (code, said) == (
        2,
        "Error: `-` stands for all of standard input, which can be read once. Give it once.",
    )


@pytest.mark.parametrize("words", [("run", "waves.yaml"), ("check", "waves.yaml", "--smoke")])
def test_on_a_terminal_it_is_said_what_one_waits_for_before_torch_is_there(
    words: tuple[str, ...], series_site: Path, environment: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "waves.yaml").write_text(RECIPE)
    terminal, end = pty.openpty()
    command = [sys.executable, "-X", "importtime", "-m", "taskkit", *words, "trackers=[csv]"]
    variables = environment(series_site, TERM="xterm", TASKKIT_PLUGINS="series", TASKKIT_CACHE=str(tmp_path / "cache"))
    with subprocess.Popen(command, cwd=tmp_path, env=variables, stderr=end, stdout=end) as process:
        os.close(end)
        said = _read(terminal)
    os.close(terminal)
    assert process.returncode == 0, said
    before, _, after = said.partition(WORDS)
    assert after, said
    assert "| torch\r" not in before
    assert "|   pytorch_lightning" in after or "pytorch_lightning" in after
    assert f"\r{' ' * len(WORDS)}\r" in after
    # What only tries a recipe is not tracked.
    assert ("tracked by csv" in after) == (words[0] == "run")


def _read(terminal: int) -> str:
    """All that comes on a terminal until nobody holds its other end."""
    parts, until = [], time.monotonic() + 120
    while time.monotonic() < until:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            parts.append(os.read(terminal, 65536))
        except OSError:
            break
    return b"".join(parts).decode(errors="replace")


def test_in_a_pipe_nothing_is_said_of_waiting(
    taskkit: Callable[..., subprocess.CompletedProcess[str]], series_site: Path, tmp_path: Path
) -> None:
    (tmp_path / "waves.yaml").write_text(RECIPE)
    ended = taskkit("run", "waves.yaml", sites=(series_site,), TASKKIT_CACHE=str(tmp_path / "cache"))
    assert ended.returncode == 0, ended.stderr
    assert WORDS not in ended.stdout + ended.stderr
