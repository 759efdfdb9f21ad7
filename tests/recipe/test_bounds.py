"""However large a recipe is, and however much it stands for, it is checked or refused within seconds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from taskkit.errors import RecipeError
from taskkit.plugins.registry import Plugins
from taskkit.recipe.interpolate import GROWTH, REFERENCES
from taskkit.recipe.load import load, split
from taskkit.recipe.merge import CHANGES, DEPTH, SIZE, VALUES

pytestmark = pytest.mark.timeout(20)


def refused(text: str, folder: Path, overrides: Sequence[str] = ()) -> list[str]:
    """What is wrong with a recipe, without the components that no plugin brings here."""
    path = folder / "large.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        load([path], overrides, Plugins())
    return [problem.message for problem in caught.value.problems if problem.key not in ("task", "model", "data")]


def options(rows: Sequence[str]) -> str:
    return "trainer: {max_epochs: 1}\noptim:\n  options:\n" + "".join(f"    {row}\n" for row in rows)


def to(number: int) -> str:
    return f"${{optim.options.a{number}}}"


def laughs(levels: int = 10) -> list[str]:
    """Ten rows of nine references each, that stand for 9 ** 11 words."""
    rows = [f"a{n}: [{', '.join([repr(to(n - 1))] * 9)}]" for n in range(1, levels)]
    return ["a0: [x, x, x, x, x, x, x, x, x]", *rows]


def chain(length: int) -> list[str]:
    return ["a0: 7", *(f"a{n}: {to(n - 1)}" for n in range(1, length))]


@pytest.mark.parametrize("turn", [1, -1], ids=["downwards", "upwards"])
def test_a_few_lines_that_stand_for_a_billion_words_are_refused(turn: int, tmp_path: Path) -> None:
    [problem] = refused(options(laughs()[::turn]), tmp_path)
    assert f"the references stand for more than {GROWTH:,} characters. Refer to something smaller." in problem


def test_text_that_doubles_in_each_line_is_refused(tmp_path: Path) -> None:
    rows = ["a0: word", *(f"a{n}: '{to(n - 1) * 4}'" for n in range(1, 20))]
    [problem] = refused(options(rows), tmp_path)
    assert "stand for more than" in problem


@pytest.mark.parametrize("turn", [1, -1], ids=["downwards", "upwards"])
def test_references_that_lead_to_references_are_followed_whatever_their_order(turn: int, tmp_path: Path) -> None:
    rows = chain(REFERENCES + 1)[::turn]
    assert refused(options(rows), tmp_path) == []


def test_a_circle_of_references_is_refused(tmp_path: Path) -> None:
    circle = [f"a0: {to(REFERENCES - 1)}", *chain(REFERENCES)[1:]]
    problems = refused(options(circle), tmp_path)
    assert len(problems) == REFERENCES
    assert all("leads back to itself or to a broken reference" in problem for problem in problems)


def test_more_references_than_anyone_writes_are_refused(tmp_path: Path) -> None:
    [problem] = refused(options([f"a{n}: ${{seed}}" for n in range(REFERENCES + 1)]), tmp_path)
    assert problem == f"the recipe holds more than {REFERENCES} references. Write values instead."


def test_as_many_unknown_names_as_a_recipe_may_hold_are_all_told(tmp_path: Path) -> None:
    problems = refused("".join(f"k{n}: 1\n" for n in range(VALUES - 1)), tmp_path)
    assert sum("is not a section of a recipe" in problem for problem in problems) == VALUES - 1


def test_more_values_are_refused_at_the_first_that_is_too_many(tmp_path: Path) -> None:
    text = "".join(f"k{n}: 1\n" for n in range(VALUES))
    assert refused(text, tmp_path) == [f"a recipe holds at most {VALUES:,} values; here begins one more. Shorten it."]


def test_a_file_that_is_too_large_is_not_even_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.yaml").open("wb") as file:
        os.truncate(file.fileno(), 10**12)
    with pytest.raises(RecipeError, match=f"larger than the {SIZE:,} bytes that a recipe may have"):
        load([tmp_path / "huge.yaml"], [], Plugins())


def test_levels_are_bounded_in_files_and_changes(tmp_path: Path) -> None:
    deep = ".".join(["optim", "options", *("a" * (DEPTH - 2))])
    assert refused("trainer: {max_epochs: 1}", tmp_path, [f"{deep}=1"]) == []
    for text, overrides in ((f"title: {'[' * DEPTH}1{']' * DEPTH}", []), ("seed: 1", [f"{deep}.b=1"])):
        [problem] = refused(text, tmp_path, overrides)
        assert f"{DEPTH} levels" in problem


def test_more_changes_than_anyone_writes_are_refused_at_once(tmp_path: Path) -> None:
    words = [f"seed={n}" for n in range(30 * CHANGES)]
    assert split(["large.yaml", *words]) == (["large.yaml"], words)
    [problem] = refused("seed: 1", tmp_path, words)
    assert problem == "30,000 changes were given. Expected at most 1,000: write an overlay file."
