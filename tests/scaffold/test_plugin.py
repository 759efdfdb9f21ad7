"""A plugin that `taskkit new plugin` wrote, before anybody changed a line: checked, run, tested, typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import taskkit
from taskkit.api import inspect
from taskkit.cli import main
from taskkit.contracts.component import KINDS
from taskkit.errors import PluginError
from taskkit.plugins.discovery import discover
from taskkit.plugins.registry import Plugins
from taskkit.recipe.load import load
from taskkit.scaffold.answers import LIKES, Answers
from taskkit.scaffold.naming import Names
from taskkit.scaffold.rendering import render
from taskkit.scaffold.writing import write
from tests.conftest import Site, install

SUBSETS = [kinds for count in (1, 2, 3) for kinds in combinations(KINDS, count)]
REFUSED = {
    **{(kinds, like): "input of the plugin's own" for like in ("table", "pair") for kinds in SUBSETS},
    **{(kinds, "audio"): "has no small data" for kinds in SUBSETS if "data" not in kinds},
}
for own in ("table", "pair"):
    del REFUSED[(("model", "data"), own)], REFUSED[(KINDS, own)]
"""Which combinations have no recipe that could run, and the reason that is given."""


def _answers(kinds: tuple[str, ...], like: str) -> Answers:
    short = "".join(kind[0] for kind in kinds)
    return Answers(Names.of(f"taskkit-{like}-{short}"), kinds, like)


WRITTEN = [_answers(kinds, like) for like in LIKES for kinds in SUBSETS if (kinds, like) not in REFUSED]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plugin for each combination of kinds and likes."""
    folder = tmp_path_factory.mktemp("written")
    for answers in WRITTEN:
        write(answers, folder)
    return folder


@pytest.fixture(scope="module")
def plugins(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugins]:
    """All of them, as they lie once their wheels are unpacked."""
    site = Site(tmp_path_factory.mktemp("site"))
    for answers in WRITTEN:
        names = answers.names
        source = folder / names.distribution / "src"
        files = {path.relative_to(source).as_posix(): path.read_text() for path in source.rglob("*") if path.is_file()}
        site.add(names.distribution, {names.modality: f"{names.package}.plugin"}, files)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site.path))
        patch.setenv("TASKKIT_CACHE", str(site.path / "cache"))
        yield discover()


def _invoke(*words: str) -> Result:
    return CliRunner().invoke(main, ["new", "plugin", *words])


@pytest.mark.parametrize(("kinds", "like"), REFUSED)
def test_what_could_not_run_is_refused_with_the_reason(kinds: tuple[str, ...], like: str) -> None:
    with pytest.raises(PluginError, match=REFUSED[(kinds, like)]):
        _answers(kinds, like)


def test_every_other_plugin_is_formatted_and_clean(folder: Path) -> None:
    for command in (["format", "--check"], ["check"]):
        ended = subprocess.run(
            [Path(sys.executable).with_name("ruff"), *command, "--no-cache", str(folder)],
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("answers", WRITTEN, ids=lambda answers: answers.names.modality)
def test_its_recipe_has_no_problems(answers: Answers, plugins: Plugins) -> None:
    recipe = load([answers.names.modality], [], plugins).recipe
    own = {kind: chosen.name.partition(".")[0] == answers.names.modality for kind, chosen in recipe.chosen().items()}
    # Rows and pairs have taskkit's own task under the plugin's name where they ask for none.
    assert own == {kind: kind in answers.kinds or answers.like in ("table", "pair") for kind in KINDS}


# One of rows is trained below, by its own tests.
@pytest.mark.parametrize("like", [like for like in LIKES if like != "table"])
def test_its_recipe_learns(like: str, plugins: Plugins, tmp_path: Path) -> None:
    modality = _answers(KINDS, like).names.modality
    run = taskkit.run(modality, ["trainer.accelerator=cpu"], out=tmp_path / "run", plugins=plugins)
    assert run.metrics["test/accuracy"] > run.manifest.baseline["test/accuracy"] + 0.15
    assert "test/brier" in run.manifest.intervals


@pytest.mark.parametrize("like", LIKES)
def test_its_data_have_no_problems_and_a_planted_one_is_found(like: str, plugins: Plugins) -> None:
    modality = _answers(KINDS, like).names.modality
    found = inspect(load([modality], [], plugins))
    assert [each for each in found if each.severity != "info"] == []
    assert {each.kind for each in found} >= {"copies", "classes"}
    faulty = inspect(load([modality], ["data.leaking=3"], plugins))
    assert [each.kind for each in faulty if each.severity == "error"] == ["leak"]


@pytest.mark.slow
@pytest.mark.parametrize("like", LIKES)
def test_it_reaches_gold_unmodified(
    like: str, folder: Path, tmp_path: Path, environment: Callable[..., dict[str, str]]
) -> None:
    distribution = _answers(KINDS, like).names.distribution
    site = install(folder / distribution, tmp_path / "site")
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "taskkit", "plugins", "check", distribution, "--level", "gold"],
        cwd=tmp_path,
        env=environment(site, TASKKIT_CACHE=str(tmp_path / "cache")),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_plugin_from_an_empty_folder_is_installed_run_and_tested(
    tmp_path: Path, environment: Callable[..., dict[str, str]]
) -> None:
    def call(*words: str, cwd: Path = tmp_path) -> str:
        ended = subprocess.run(
            [sys.executable, "-P", "-m", *words],
            cwd=cwd,
            env=environment(site, TASKKIT_CACHE=str(tmp_path / "cache")),
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    site = tmp_path / "site"
    call("taskkit", "new", "plugin", "taskkit-foo")
    pip = ["pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    call(*pip, "--no-build-isolation", "--target", str(site), "./taskkit-foo")
    assert "Bronze" in call("taskkit", "plugins", "check", "taskkit-foo", "--level", "bronze")
    call("taskkit", "run", "foo", "--out", "run", "trainer.max_epochs=1")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"
    call("pytest", "-q", "-p", "no:cacheprovider", "tests/test_foo.py", cwd=tmp_path / "taskkit-foo")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("taskkit-image", "is installed"),
        ("image", "components would be called image"),
        ("json", "Python package 'json' already"),
        ("taskkit", "name of its own"),
        ("taskkit-", "no name of a distribution"),
        ("weather forecast", "no name of a distribution"),
        ("../taskkit-foo", "no name of a distribution"),
        ("taskkit-3d", "can be called '3d'"),
        ("taskkit-class", "can be called 'class'"),
        ("taskkit-" + "x" * 40, "at most 40 characters"),
    ],
)
def test_a_name_that_would_hide_something_or_cannot_be_is_refused(
    name: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = _invoke(name)
    assert ended.exit_code == 2, ended.output
    assert reason in ended.output
    assert [*tmp_path.iterdir()] == []


def test_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taskkit-foo").symlink_to("nowhere")
    ended = _invoke("taskkit-foo")
    assert ended.exit_code == 2
    assert "is there already" in ended.output
    assert [path.name for path in tmp_path.iterdir()] == ["taskkit-foo"]


def test_a_kind_that_there_is_not_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ended = _invoke("taskkit-foo", "--kinds", "model,dataset")
    assert ended.exit_code == 2
    assert "'dataset' is none of task, model, data" in ended.output


@pytest.mark.parametrize("kinds", ["", "task,,model"])
def test_a_kind_without_a_name_is_told(kinds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ended = _invoke("taskkit-foo", "--kinds", kinds)
    assert ended.exit_code == 2
    assert f"--kinds: {kinds!r} has an empty name." in ended.output


def test_another_spelling_is_written_as_an_index_has_it_with_words_for_titles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = _invoke("Taskkit_Foo_Table")
    assert ended.exit_code == 0, ended.output
    assert "Taskkit_Foo_Table is written as taskkit-foo-table" in ended.output
    assert Path("taskkit-foo-table/docs/index.md").read_text().startswith("# Foo table\n")
    assert 'description = "Foo table for taskkit."' in Path("taskkit-foo-table/pyproject.toml").read_text()


def test_other_spellings_of_a_name_are_the_names_that_an_index_compares() -> None:
    assert Names.of("TaskKit_Cloud.Cover") == Names("taskkit-cloud-cover", "taskkit_cloud_cover", "cloud_cover")
    assert Names.of("weather") == Names("weather", "weather", "weather")


def test_each_file_is_the_same_each_time() -> None:
    assert render(WRITTEN[0]) == render(WRITTEN[0])


@pytest.mark.slow
def test_its_types_are_strict(folder: Path, tmp_path: Path) -> None:
    for like in LIKES:
        ended = subprocess.run(
            [Path(sys.executable).with_name("mypy"), "--cache-dir", str(tmp_path)],
            cwd=folder / _answers(KINDS, like).names.distribution,
            env={**os.environ, "MYPYPATH": "src"},
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stdout
