"""The host's and the plugins' wheels, installed where nothing else of taskkit is."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
RECIPES = {path.stem for path in ROOT.glob("recipes/*.yaml")}
DISTRIBUTIONS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))
PACKAGES = [name.replace("-", "_") for name in DISTRIBUTIONS]
LIBRARIES = {"transformers"}
"""What plugins share is no plugin."""
PLUGINS = [name for name in (each.removeprefix("taskkit-") for each in DISTRIBUTIONS) if name not in LIBRARIES]
RECIPE = """\
title: Digits
task:    {name: image.classification}
model:   {name: image.mlp, widths: [16]}
data:    {name: image.digits}
trainer: {max_steps: 5, accelerator: cpu}
loader:  {workers: 0}
"""

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels by the name of the distribution."""
    folder = tmp_path_factory.mktemp("wheels")
    sources = [".", *(f"./plugins/{name}" for name in DISTRIBUTIONS)]
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), *sources)
    return {path.name.partition("-")[0]: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def home(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that borrows everything but taskkit from this one, with the wheels installed."""
    home = tmp_path_factory.mktemp("home") / "venv"
    venv.create(home)
    borrowed = home / "borrowed"
    borrowed.mkdir()
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for path in Path(folder).iterdir():
            if "taskkit" not in path.name.lower():
                (borrowed / path.name).symlink_to(path)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(home)}))
    (site / "borrowed.pth").write_text(f"{borrowed}\n")
    _pip("--python", str(home / "bin/python"), "install", "--no-deps", "--no-index", *map(str, wheels.values()))
    return home


@pytest.fixture
def call(home: Path, tmp_path: Path) -> Call:
    """Call a program of that environment in an unrelated directory."""
    keep = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    environment = {**keep, "HOME": str(tmp_path / "home"), "TASKKIT_CACHE": str(tmp_path / "cache")}

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [home / "bin" / program, *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize(("name", "package"), [("taskkit_ml", "taskkit"), *zip(PACKAGES, PACKAGES, strict=True)])
def test_a_wheel_holds_its_package_types_and_licence_and_no_tests(
    wheels: dict[str, Path], name: str, package: str
) -> None:
    with zipfile.ZipFile(wheels[name]) as wheel:
        files = wheel.namelist()
    assert {path.partition("/")[0].partition("-")[0] for path in files} == {package, name}
    assert f"{package}/py.typed" in files
    assert any(path.endswith(".dist-info/licenses/LICENSE") for path in files)
    tests = [path for path in files if "tests" in Path(path).parts or Path(path).name.startswith("test_")]
    # Templates of plugins hold those of the plugins.
    assert not [path for path in tests if not path.startswith("taskkit/scaffold/templates/")]


def test_every_recipe_is_shipped_by_one_plugin(wheels: dict[str, Path]) -> None:
    shipped = []
    for path in wheels.values():
        with zipfile.ZipFile(path) as wheel:
            shipped += [Path(name).stem for name in wheel.namelist() if name.endswith(".yaml")]
    assert RECIPES
    assert sorted(shipped) == sorted(RECIPES)


def test_what_is_installed_is_what_the_wheels_held(call: Call, home: Path) -> None:
    names = ", ".join(["taskkit", *PACKAGES])
    source = f"import {names}; print(*(module.__file__ for module in ({names})))"
    ended = call("python", "-c", source)
    assert ended.returncode == 0, ended.stderr
    assert all(Path(path).is_relative_to(home / "lib") for path in ended.stdout.split())


def test_the_installed_plugins_are_listed_with_their_recipes(call: Call) -> None:
    found = json.loads(call("taskkit", "list", "--json").stdout)
    assert [(row["name"], row["status"]) for row in found["plugins"]] == [(name, "ok") for name in PLUGINS]
    assert {row["name"] for row in found["recipes"]} == RECIPES


def test_a_plugin_is_written_by_the_templates_that_the_wheel_holds(call: Call, tmp_path: Path) -> None:
    ended = call("taskkit", "new", "plugin", "taskkit-foo")
    assert ended.returncode == 0, ended.stderr
    source = {path.removesuffix(".jinja") for path in _templates("common", "table")}
    plugin = tmp_path / "taskkit-foo"
    written = {path.relative_to(plugin).as_posix() for path in plugin.rglob("*") if path.is_file()}
    own = {path.replace("PACKAGE", "taskkit_foo").replace("MODALITY", "foo") for path in source}
    assert own | {".taskkit-template.json"} == written
    assert {".gitignore", ".gitlab-ci.yml", ".github/workflows/test.yml"} <= own


def _templates(*folders: str) -> list[str]:
    """The templates in the repository, each by its path in its folder."""
    roots = [ROOT / "taskkit" / "scaffold" / "templates" / folder for folder in folders]
    return [path.relative_to(root).as_posix() for root in roots for path in root.rglob("*.jinja")]


def test_a_recipe_is_checked_trained_and_tested(call: Call, home: Path, tmp_path: Path) -> None:
    (tmp_path / "digits.yaml").write_text(RECIPE)
    assert call("taskkit", "check", "digits.yaml").stdout == "digits.yaml: no problems\n"
    ended = call("taskkit", "run", "digits.yaml", "--out", "run")
    assert ended.returncode == 0, ended.stderr
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["status"] == "finished"
    assert 0 <= run["metrics"]["test/accuracy"] <= 1
    (plugin,) = run["plugins"]
    named = {"distribution": "taskkit-image", "version": "0.2.0", "entry_point": "image"}
    assert plugin == {**named, "record_sha256": plugin["record_sha256"]}
    searched = json.loads(call("taskkit", "plugins", "search", "--json").stdout)["plugins"]
    assert {each["installed"] for each in searched if each["name"].removeprefix("taskkit-") in PLUGINS} == {"0.2.0"}


WITHOUT_TORCH = (
    *("click", "filelock", "jinja2", "markdown-it-py", "markupsafe", "mdurl", "numpy"),
    *("omegaconf", "onnxruntime", "packaging", "pillow", "platformdirs", "pluggy", "psutil", "pyarrow", "pygments"),
    *("pyyaml", "rich", "safetensors", "typing-extensions"),
)
"""All that an exported image classifier needs beside taskkit and its plugin."""


@pytest.mark.slow
def test_an_exported_folder_answers_where_there_is_no_torch(
    call: Call, wheels: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "digits.yaml").write_text(RECIPE)
    assert call("taskkit", "run", "digits.yaml", "--out", "run").returncode == 0
    made = call("taskkit", "export", "run", "-o", "out", "--examples", "9")
    assert made.returncode == 0, made.stderr
    Image.new("L", (8, 8), 200).save(tmp_path / "a.png")
    bare = tmp_path / "bare"
    venv.create(bare)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(bare)}))
    for name in WITHOUT_TORCH:
        for file in distribution(name).files or ():
            if (top := file.parts[0]) not in ("..", "__pycache__") and not (site / top).exists():
                (site / top).symlink_to(distribution(name).locate_file(top))
    ours = [str(wheels["taskkit_ml"]), str(wheels["taskkit_image"])]
    _pip("--python", str(bare / "bin/python"), "install", "--no-deps", "--no-index", *ours)
    (tmp_path / "run").rename(tmp_path / "gone")
    words = ["predict", str(tmp_path / "out"), str(tmp_path / "a.png"), "--json"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    ended = subprocess.run([bare / "bin/taskkit", *words], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["prediction"] in "0123456789"
    lacking = subprocess.run([bare / "bin/python", "-c", "import torch"], env=environment, capture_output=True)
    assert lacking.returncode == 1
