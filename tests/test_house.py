"""What tools keep: form, types, arrows, public names, and that the project is tied to no package index."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import taskkit

ROOT = Path(__file__).parents[1]
PLUGINS = [
    *ROOT.glob("plugins/*/src/*"),
    *ROOT.glob("docs/examples/*/src/*"),
    ROOT / "tests/packages/taskkit-series/src/taskkit_series",
]


@pytest.mark.parametrize(
    "command", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"], ["lint-imports"]], ids=" ".join
)
def test_the_code_is_as_the_tools_want_it(command: list[str]) -> None:
    tool = Path(sys.executable).with_name(command[0])
    ended = subprocess.run([tool, *command[1:]], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_no_process_of_python_imports_what_lies_in_the_working_directory() -> None:
    files = [path for folder in (ROOT / "taskkit", *PLUGINS) for path in folder.rglob("*.py")]
    lists = [node for path in files for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.List)]
    started = [
        words for node in lists if (words := [ast.unparse(each) for each in node.elts])[:1] == ["sys.executable"]
    ]
    assert started
    assert [words for words in started if words[1] != "'-P'"] == []


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_plugins_import_only_public_names_of_taskkit(plugin: Path) -> None:
    trees = {path.name: ast.parse(path.read_text()) for path in plugin.rglob("*.py")}
    taken = [(file, name) for file, tree in trees.items() for node in ast.walk(tree) for name in _taken(node)]
    assert taken, "it imports nothing of taskkit"
    assert [(file, name) for file, name in taken if name not in taskkit.__all__] == []


def _taken(node: ast.AST) -> list[str]:
    """What an import takes from taskkit: a name, or a module's path when that is imported itself."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if alias.name.partition(".")[0] == "taskkit"]
    if isinstance(node, ast.ImportFrom) and not node.level and str(node.module).partition(".")[0] == "taskkit":
        within = str(node.module).removeprefix("taskkit").lstrip(".")
        return [f"{within}.{alias.name}".lstrip(".") for alias in node.names]
    return []


def test_every_public_name_has_a_home_and_can_be_imported() -> None:
    assert set(taskkit.__all__) == set(taskkit._HOME)
    assert all(getattr(taskkit, name) is not None for name in taskkit.__all__)


def test_no_tracked_file_names_a_package_index() -> None:
    hosts = ["pypi" + r"\.\w+/", "python" + "hosted", r"download\." + "pytorch", "deb" + r"\.debian", "npm" + "js"]
    options = ["--(extra-)?index" + "-url", "--find" + "-links"]
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wrong = re.compile("|".join([*hosts, *options]))
    files = [path for path in map(ROOT.joinpath, names.splitlines()) if path.is_file()]
    lines = [(path, line) for path in files for line in path.read_text(errors="replace").splitlines()]
    assert len(files) > 50
    assert [(str(path), line) for path, line in lines if wrong.search(line)] == []
