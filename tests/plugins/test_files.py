"""A file as a plugin: it is used where it is named and nowhere else, recorded by its hash, and asked for again."""

from __future__ import annotations

import hashlib
import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from taskkit.errors import DataError
from taskkit.plugins.files import PluginFile, load
from tests.plugins.sources import declaring

Taskkit = Callable[..., subprocess.CompletedProcess[str]]
HOW_TO = Path(__file__).parents[2] / "docs/how-to"
SHORT = ("trainer.max_epochs=2", "trainer.accelerator=cpu", "meter.flops=false", "loader.cache=false")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The working directory of `taskkit`, with the file and the recipe of the documentation in it."""
    for name in ("my_task.py", "spirals.yaml"):
        shutil.copy(HOW_TO / name, tmp_path / name)
    return tmp_path


def test_a_file_is_used_only_where_it_is_named_by_all_processes_recorded_and_asked_for_again(
    project: Path, taskkit: Taskkit
) -> None:
    alone = {"TASKKIT_PLUGINS": ""}
    unnamed = taskkit("check", "spirals.yaml", **alone)
    assert unnamed.returncode == 2
    assert "No model named 'mine.net'" in unnamed.stderr

    file, out = project / "my_task.py", project / "out"
    two = ("trainer.devices=2", "trainer.strategy=ddp", "loader.workers=1")
    ran = taskkit("run", "spirals.yaml", "--plugin", "my_task.py", "--out", "out", *SHORT, *two, **alone)
    assert ran.returncode == 0, ran.stderr
    manifest = json.loads((out / "run.json").read_text())
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    named = {"distribution": str(file), "version": sha256[:12], "entry_point": "my_task"}
    assert manifest["plugins"] == [{**named, "sha256": sha256}]
    assert not (project / "__pycache__").exists()

    preempted = project / "preempted"
    preempted.mkdir()
    (preempted / "run.json").write_text(json.dumps({**manifest, "status": "preempted"}))
    for words in (["eval", "out"], ["run", "--resume", "preempted"]):
        refused = taskkit(*words, **alone)
        assert refused.returncode == 2, refused.stderr
        said = (
            f"the run was made with the plugin {file}, a file that is there as it was. Name it again: --plugin {file}"
        )
        assert refused.stderr.splitlines()[-1] == f"{words[-1]}: {said}"

    file.write_text(file.read_text() + "\n# more\n")
    asked = taskkit("predict", "out", "0.3,0.4", "--plugin", "my_task.py", **alone)
    assert (asked.returncode, len(asked.stdout.splitlines())) == (0, 1), asked.stderr
    now = hashlib.sha256(file.read_bytes()).hexdigest()
    said = f"out: since the run was made, the plugin {file} was {sha256[:12]}… and is {now[:12]}… (SHA-256)."
    assert said in asked.stderr


@pytest.mark.parametrize("source", ["abc", "0.3", "0.3,0.4,0.5", "0.3,x"])
def test_the_example_says_which_input_it_expects(source: str) -> None:
    points = runpy.run_path(str(HOW_TO / "my_task.py"))["Points"]()
    with pytest.raises(DataError, match=r"two numbers were expected, such as 0\.3,0\.4"):
        points.read(source, None)


def test_what_is_run_is_what_was_hashed(tmp_path: Path) -> None:
    path = tmp_path / "read_once.py"
    path.write_text("VALUE = 1")
    file = PluginFile(path, path.read_bytes())
    path.write_text("VALUE = 2")
    try:
        assert load(file).VALUE == 1
        assert file.sha256 == hashlib.sha256(b"VALUE = 1").hexdigest()
    finally:
        sys.modules.pop("read_once", None)


def test_a_file_beside_which_another_of_its_name_lies_is_run_from_where_it_was_named(
    project: Path, taskkit: Taskkit
) -> None:
    (project / "other").mkdir()
    (project / "other/my_task.py").write_text(declaring("mine.other"))
    listed = taskkit("list", "models", "--plugin", "other/my_task.py", TASKKIT_PLUGINS="")
    # `python -m taskkit` has the working directory on its path, where a my_task.py lies that nobody named.
    assert (listed.returncode, listed.stdout) == (2, "")
    assert f"my_task is the name of another module too ({project}/my_task.py). Rename the file." in listed.stderr


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        ("torch.py", "", "torch is the name of another module too ("),
        ("json.py", "", "json is the name of another module too ("),
        ("none.py", None, "it cannot be read (No such file or directory). A Python file was expected."),
        ("my-task.py", "", "a Python file was expected, whose name can be imported, such as my_task.py."),
        ("task.txt", "", "a Python file was expected"),
        ("raising.py", "1 / 0", "ZeroDivisionError: division by zero"),
        ("leaving.py", "raise SystemExit(3)", "SystemExit: 3"),
        ("broken.py", "def (", "SyntaxError: invalid syntax"),
        ("empty.py", "", "empty is not a plugin: it implements no hook"),
        ("newer.py", f"taskkit_api = '>=7'\n{declaring('new.model')}", "it needs taskkit API '>=7'"),
        ("wrong.py", declaring("vit"), "name 'vit', expected `modality.name`"),
        ("beside.py", "import helper_of_mine", "What lies beside the file is not found: write it into the file"),
        ("lacking.py", "import torch_of_old", "Install the distribution that brings the module 'torch_of_old'."),
    ],
)
def test_a_file_that_cannot_be_used_ends_the_command(
    name: str, source: str | None, said: str, tmp_path: Path, taskkit: Taskkit
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "helper_of_mine.py").write_text("")
    if source is not None:
        (folder / name).write_text(source)
    refused = taskkit("list", "--plugin", str(folder / name), TASKKIT_PLUGINS="")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.splitlines()[-1].startswith(("--plugin ", "Error: --plugin ")), refused.stderr
    assert f"--plugin {folder / name}: " in refused.stderr
    assert said in refused.stderr
    assert "pip uninstall" not in refused.stderr


def test_help_is_there_whatever_is_wrong_with_a_file(tmp_path: Path, taskkit: Taskkit) -> None:
    (tmp_path / "raising.py").write_text("1 / 0")
    helped = taskkit("--help", "--plugin", "raising.py", TASKKIT_PLUGINS="")
    assert helped.returncode == 0
    assert "Verbs" in helped.stdout
    (line,) = helped.stderr.splitlines()
    assert line.startswith(f"--plugin {tmp_path}/raising.py: ZeroDivisionError: division by zero")


def test_two_files_add_to_each_other_and_must_differ_in_name(tmp_path: Path, taskkit: Taskkit) -> None:
    for folder, name in (("a", "one"), ("a", "two"), ("b", "one")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"{name}.py").write_text(declaring(f"{folder}.{name}"))
    (about,) = json.loads(taskkit("plugins", "info", "two", "--json", "--plugin=a/two.py").stdout)["plugins"]
    assert (about["distribution"], about["hooks"]) == (f"{tmp_path}/a/two.py", ["taskkit_components"])
    both = taskkit("list", "models", "--json", "--plugin", "a/one.py", "--plugin", "a/two.py", TASKKIT_PLUGINS="")
    assert [each["name"] for each in json.loads(both.stdout)["models"]] == ["a.one", "a.two"]
    twins = taskkit("list", "--plugin", "a/one.py", "--plugin", "b/one.py", TASKKIT_PLUGINS="")
    assert twins.returncode == 2
    assert f"{tmp_path}/b/one.py has its name too." in twins.stderr
