"""The command line as a whole: it starts fast, loads what it needs, and says in words what went wrong."""

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taskkit.cli import VERBS

COMMANDS = """
import signal
import click
from taskkit.errors import RunFailedError, TaskkitError
from taskkit.contracts.hookspecs import hookimpl

print("the plugin is imported")

def failing(name, error):
    def callback():
        raise error
    return click.Command(name, callback=callback, help=f"Fail with {name}.")

def wait():
    click.echo("waiting")
    signal.pause()

@hookimpl
def taskkit_commands():
    return [
        failing("unlucky", ValueError("seven\\nyears")),
        failing("mistaken", TaskkitError("here: this is wrong. Do that.")),
        failing("failed", RunFailedError("the loss is not a number")),
        failing("list", ValueError("not the host's")),
        click.Command("wait", callback=wait),
    ]
"""


@pytest.fixture
def verbs(site):
    """Where a plugin with verbs of its own is installed."""
    site.add("taskkit-verbs", {"verbs": "verbs_plugin"}, {"verbs_plugin.py": COMMANDS})
    return site.path


@pytest.fixture
def loaded(environment, sound_site, tmp_path):
    """The modules that are loaded when a call of the command line ends."""
    source = "import sys\nfrom taskkit.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"

    def call(*arguments: str) -> set[str]:
        command = [sys.executable, "-c", source, *arguments]
        ended = subprocess.run(command, cwd=tmp_path, env=environment(sound_site), capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        return set(ended.stderr.splitlines()[-1].split())

    return call


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["list"], ["list", "--json"], ["list", "--help"]])
def test_it_answers_without_torch(loaded, arguments):
    modules = loaded(*arguments)
    assert "click" in modules
    assert not modules & {"torch", "pytorch_lightning", "torchmetrics", "pyarrow", "numpy", "omegaconf"}


def test_list_imports_what_declares_components_and_not_the_components(loaded):
    modules = loaded("list")
    assert "taskkit_sound.plugin" in modules
    assert "taskkit_sound.tone" not in modules


def test_help_imports_no_verb(loaded):
    assert "taskkit.cli.list" in loaded("list")
    assert not loaded("--help") & {home.partition(":")[0] for home, _ in VERBS.values()}


@pytest.mark.parametrize("arguments", [["--help"], ["list"]])
def test_it_answers_at_once(taskkit, sound_site, arguments):
    # The processor's time: what else the machine does must not decide.
    def seconds() -> float:
        start = os.times()
        taskkit(*arguments, sites=(sound_site,))
        end = os.times()
        return end.children_user + end.children_system - start.children_user - start.children_system

    assert min(seconds() for _ in range(3)) < 0.8


def test_help_of_a_verb_of_the_host_loads_no_plugin(taskkit, verbs):
    assert "the plugin is imported" not in taskkit("list", "--help", sites=(verbs,)).stderr
    assert "the plugin is imported" in taskkit("--help", sites=(verbs,)).stderr


def test_plugins_add_verbs_and_cannot_take_those_of_the_host(taskkit, verbs, sound_site):
    assert taskkit("hum", sites=(verbs, sound_site)).stdout == "hmm\n"
    listed = taskkit("list", "recipes", sites=(verbs, sound_site))
    assert listed.returncode == 0, listed.stderr
    assert "one tone for every waveform." in listed.stdout
    assert taskkit("--help", sites=(verbs,)).stdout.count("  list ") == 1


@pytest.mark.parametrize("arguments", [["--no-plugins", "hum"], ["hum", "--no-plugins"]])
def test_without_plugins_their_verbs_are_unknown(taskkit, sound_site, arguments):
    refused = taskkit(*arguments, sites=(sound_site,))
    assert refused.returncode == 2
    assert "No verb named 'hum'" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [(["lst"], "'list'"), (["hmu"], "'hum'"), (["list", "--jsn"], "'--json'"), (["--debg"], "'--debug'")],
)
def test_a_mistyped_verb_or_option_is_corrected(taskkit, sound_site, arguments, suggestion):
    refused = taskkit(*arguments, sites=(sound_site,))
    assert refused.returncode == 2
    assert f"Did you mean {suggestion}?" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("verb", "code", "said"),
    [
        ("mistaken", 2, "here: this is wrong. Do that."),
        ("failed", 1, "the loss is not a number"),
        ("unlucky", 1, "ValueError: seven years. Run again with --debug for the traceback."),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(taskkit, verbs, verb, code, said):
    failed = taskkit(verb, sites=(verbs,))
    assert failed.returncode == code
    assert failed.stderr.splitlines()[-1] == said
    assert "Traceback" not in failed.stderr
    assert failed.stdout == ""


@pytest.mark.parametrize("arguments", [["--debug", "unlucky"], ["unlucky", "--debug"]])
def test_debug_shows_the_traceback(taskkit, verbs, arguments):
    failed = taskkit(*arguments, sites=(verbs,))
    assert failed.returncode == 1
    assert "Traceback (most recent call last)" in failed.stderr
    assert "verbs_plugin.py" in failed.stderr


def test_an_interrupt_is_no_traceback(environment, verbs, tmp_path):
    command = [sys.executable, "-m", "taskkit", "wait"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env=environment(verbs), **streams) as process:
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "interrupted"
    assert "Traceback" not in errors


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["--help"]])
def test_a_reader_that_leaves_is_no_error(environment, tmp_path, arguments):
    command = [sys.executable, "-m", "taskkit", *arguments]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), **streams) as process:
        process.stdout.close()
        errors = process.stderr.read()
    assert errors == b""


def test_list_is_a_table_on_a_terminal_and_plain_lines_in_a_pipe(environment, taskkit, sound_site, tmp_path):
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "taskkit", "list", "models"]
    only = {"TASKKIT_PLUGINS": "sound", "COLUMNS": "120", "TERM": "xterm"}
    subprocess.run(command, cwd=tmp_path, env=environment(sound_site, **only), stdout=end, check=True)
    os.close(end)
    table = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert "─────" in table
    assert "sound.tone" in table
    piped = taskkit("list", "models", sites=(sound_site,), **only).stdout
    assert piped == "sound.tone  A model that answers with one tone.  taskkit-sound  1.2.3\n"


def test_list_shows_the_recipes_of_the_working_directory_by_their_titles(taskkit, tmp_path):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "vit.yaml").write_text("# vit.yaml — a small transformer.\ntitle: not this\n")
    (tmp_path / "recipes" / "mlp.yml").write_text("seed: 7\ntitle: 'Layers'\n")
    (tmp_path / "recipes" / "notes.txt").write_text("not a recipe")
    listed = json.loads(taskkit("list", "recipes", "--json", "--no-plugins").stdout)["recipes"]
    titles = {recipe["name"]: recipe["title"] for recipe in listed}
    assert titles == {"recipes/vit.yaml": "a small transformer.", "recipes/mlp.yml": "Layers"}


def test_list_without_a_recipe_says_how_to_come_by_one(taskkit):
    for words in (("list",), ("list", "recipes")):
        listed = taskkit(*words, "--no-plugins")
        assert listed.returncode == 0
        assert "There is no recipe: none lies in the folder recipes/ here" in listed.stderr
        assert "write a recipe" in listed.stderr
        assert "There is no recipe" not in listed.stdout
    assert taskkit("list", "models", "--no-plugins").stderr == ""
    assert taskkit("list", "recipes", "--json", "--no-plugins").stderr == ""


def test_list_of_components_mentions_plugins_with_problems(taskkit, site):
    site.add("taskkit-bad", {"bad": "bad_plugin"}, {"bad_plugin.py": "1 / 0"})
    listed = taskkit("list", "models", sites=(site.path,))
    assert listed.returncode == 0
    assert listed.stderr == "Some plugins have problems: taskkit list plugins\n"


def test_a_question_waits_for_neither_lightning_nor_torchmetrics(loaded):
    run = Path(__file__).parents[1] / "runs" / "0.1" / "text"
    modules = loaded("predict", str(run), "a good film")
    assert "torch" in modules
    assert not modules & {"lightning_fabric", "pytorch_lightning", "torchmetrics", "scipy.stats", "matplotlib"}
