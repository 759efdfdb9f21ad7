"""Plain values made into the sections that are declared: every problem, at the value that has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from taskkit import setting
from taskkit.recipe.coerce import Misfit, to_section


@dataclass
class Inner:
    """A section inside another."""

    width: int = setting(8, "how wide")


@dataclass
class Section:
    """One field of each kind that is told here."""

    sizes: list[int] = setting([1], "sizes", ge=1)
    shares: dict[str, float] = setting({}, "shares by name", ge=0, le=1)
    labels: dict[int, str] = setting({}, "labels by number")
    anything: Any = setting(None, "anything")
    inner: Inner = field(default_factory=Inner)
    folder: Path = setting(Path("some/where"), "a folder")


def problems(**values: Any) -> list[str]:
    with pytest.raises(Misfit) as caught:
        to_section(Section, values, (), "a section")
    return [message for _, message in caught.value.problems]


def test_every_bad_item_of_a_list_is_told() -> None:
    assert problems(sizes=["a", 2, "b"]) == [
        "sizes.0 is 'a'. Expected a whole number.",
        "sizes.2 is 'b'. Expected a whole number.",
    ]
    assert problems(sizes=[0, 2, -1]) == [
        "sizes.0 is 0. Expected a number ≥ 1.",
        "sizes.2 is -1. Expected a number ≥ 1.",
    ]


def test_the_values_of_a_mapping_keep_to_the_bounds_too() -> None:
    assert problems(shares={"a": 0.5, "b": 2, "c": -1}) == [
        "shares.b is 2.0. Expected a number ≥ 0 and ≤ 1.",
        "shares.c is -1.0. Expected a number ≥ 0 and ≤ 1.",
    ]


def test_every_bad_value_of_a_mapping_is_told() -> None:
    assert len(problems(shares={"a": "x", "b": 0.5, "c": "y"})) == 2


def test_names_that_stand_for_numbers_are_whole_numbers_written_one_way() -> None:
    assert to_section(Section, {"labels": {"0": "a", "-1": "b", "10": "c"}}, (), "").labels == {
        0: "a",
        -1: "b",
        10: "c",
    }
    assert problems(labels={"x": "a", "1.5": "b", "01": "c", "١": "d"}) == [
        f"labels has the name {name!r}. Expected a whole number." for name in ("x", "1.5", "01", "١")
    ]


def test_no_number_without_end_hides_in_a_value_of_any_kind() -> None:
    assert to_section(Section, {"anything": {"a": [1, "x", None, True]}}, (), "").anything == {
        "a": [1, "x", None, True]
    }
    assert problems(anything={"a": [1.0, float("inf")], "b": float("nan")}) == [
        "anything.a.1 is not a finite number. Expected a value that can be counted with.",
        "anything.b is not a finite number. Expected a value that can be counted with.",
    ]


def test_a_default_is_told_as_a_recipe_writes_it() -> None:
    assert problems(inner=3) == ["inner is 3. Expected a mapping. Leave it out for its defaults."]
    assert problems(folder=3) == ["folder is 3. Expected a path. Leave it out for 'some/where', the default."]
