"""Copies of recipes, and what has changed since they were made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from taskkit import RecipeFile, hookimpl
from taskkit.cli import main
from taskkit.errors import RecipeError
from taskkit.plugins.discovery import discover
from taskkit.recipe.copies import drift

RECIPE = """\
# base.yaml — digits, told apart.
#   result:  not measured
title: Digits
task: {name: image.classification}
model: {name: image.mlp, widths: [16]}
data: {name: image.digits}
optim: {lr: 1.0e-2}
trainer: {max_epochs: 1}
"""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "recipes" / "base.yaml"
    path.parent.mkdir()
    path.write_text(RECIPE)
    return path


def _invoke(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def _drift(*words: str) -> dict[str, object]:
    ended = _invoke("show", *words, "--drift", "--json")
    assert ended.exit_code == 0, ended.output
    found: dict[str, object] = json.loads(ended.stdout)
    return found


def test_a_copy_says_where_it_is_from_and_comes_to_the_same(base: Path) -> None:
    ended = _invoke("new", "recipe", "recipes/base.yaml", "-o", "mine.yaml")
    assert ended.exit_code == 0, ended.output
    lines = Path("mine.yaml").read_text().splitlines()
    assert lines[:2] + lines[3:] == RECIPE.splitlines()
    assert lines[2].startswith("# from: recipes/base.yaml, a file, sha256 ")
    assert _drift("mine.yaml") == {
        "name": "recipes/base.yaml",
        "then": "a file",
        "now": "a file",
        "original_changed": False,
        "keys": {},
    }
    assert "Both come to the same." in _invoke("show", "mine.yaml", "--drift").output


def test_drift_has_the_changes_of_both_sides_with_defaults(base: Path) -> None:
    _invoke("new", "recipe", "recipes/base.yaml", "-o", "mine.yaml")
    mine = Path("mine.yaml")
    mine.write_text(mine.read_text().replace("widths: [16]", "widths: [16, 8]"))
    base.write_text(RECIPE.replace("optim: {lr: 1.0e-2}", "optim: {lr: 2.0e-2}\ncompile: true"))
    found = _drift("mine.yaml")
    assert found["original_changed"] is True
    assert found["keys"] == {
        "compile": {"yours": False, "original": True},
        "model.widths": {"yours": [16, 8], "original": [16]},
        "optim.lr": {"yours": 0.01, "original": 0.02},
    }
    said = _invoke("show", "mine.yaml", "--drift").output
    assert "the original has changed since" in said
    assert ["optim.lr", "0.01", "0.02"] in [line.split() for line in said.splitlines()]


def test_a_copy_of_a_copy_is_of_that(base: Path) -> None:
    _invoke("new", "recipe", "recipes/base.yaml", "-o", "mine.yaml")
    _invoke("new", "recipe", "mine.yaml", "-o", "recipes/second.yaml")
    text = Path("recipes/second.yaml").read_text()
    assert text.count("# from: ") == 1
    assert "# from: ../mine.yaml, a file" in text
    assert _drift("recipes/second.yaml")["keys"] == {}


def test_nothing_is_overwritten(base: Path) -> None:
    Path("base.yaml").write_text("mine")
    ended = _invoke("new", "recipe", "recipes/base.yaml")
    assert ended.exit_code == 2
    assert "is there already" in ended.output
    assert Path("base.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["new", "recipe", "bse"], "no recipe of this name"),
        (["show", "recipes/base.yaml", "--drift"], "does not say what it is a copy of"),
        (["new", "recipe", "nonsense"], "`taskkit list recipes` shows those installed."),
        (["show", "gone.yaml", "--drift"], "cannot be read"),
        (["show", "recipes/base.yaml", "optim.lr=1", "--drift"], "about one copy"),
    ],
)
def test_what_cannot_be_compared_is_told(words: list[str], said: str, base: Path) -> None:
    ended = _invoke(*words)
    assert ended.exit_code == 2, ended.output
    assert said in ended.output


def test_a_recipe_that_a_plugin_ships_is_no_copy(base: Path) -> None:
    class Shipping:
        @hookimpl
        def taskkit_recipes(self) -> list[RecipeFile]:
            return [RecipeFile("digits", base)]

    with pytest.raises(RecipeError, match=r"a plugin ships, and no copy.*`taskkit new recipe digits` makes one"):
        drift(Path("digits"), discover(allow=(), extra={"shipping": Shipping()}))


def test_an_original_that_is_gone_is_told(base: Path) -> None:
    _invoke("new", "recipe", "recipes/base.yaml", "-o", "mine.yaml")
    base.unlink()
    ended = _invoke("show", "mine.yaml", "--drift")
    assert ended.exit_code == 2
    assert "recipes/base.yaml" in ended.output


@pytest.mark.parametrize("content", ["root:x:0:0:root:/root:/bin/sh\n", "title: Many\nrecipes: [a.yaml]\n", "\x00\n"])
def test_what_is_no_recipe_is_not_copied(base: Path, content: str) -> None:
    Path("other").write_text(content)
    ended = _invoke("new", "recipe", "./other", "-o", "mine.yaml")
    assert ended.exit_code == 2, ended.output
    assert ended.stderr.startswith("other") or "other:" in ended.stderr
    assert not Path("mine.yaml").exists()


def test_a_name_with_a_blank_is_one_word_of_the_next_command(base: Path) -> None:
    ended = _invoke("new", "recipe", "recipes/base.yaml", "-o", "my copy.yaml")
    assert "taskkit run 'my copy.yaml'\n" in ended.stderr
