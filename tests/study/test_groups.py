"""Which runs of a study are averaged together."""

from __future__ import annotations

from itertools import product
from typing import Any, cast

from taskkit.study.groups import ensembles
from taskkit.study.plan import Cell


def cells(recipe: str, *fractions: float) -> list[Cell]:
    """Two seeds of a recipe by each share of the data, as a study names them."""
    resolved = cast("Any", None)
    return [
        Cell(f"{recipe}/seed={seed}_fraction={f}", recipe, {"loader.fraction": f, "seed": seed}, (), resolved)
        for f, seed in product(fractions, (1, 2))
    ]


def test_seeds_are_averaged_by_recipe_and_values_whatever_a_recipe_is_called() -> None:
    planned = [*cells("bag_r8", 0.1, 1.0), *cells("mlp", 0.1)]
    assert ensembles(["seeds"], planned, {cell.method for cell in planned}) == {
        "bag_r8/ensemble_fraction=0.1": ["bag_r8/seed=1_fraction=0.1", "bag_r8/seed=2_fraction=0.1"],
        "bag_r8/ensemble_fraction=1.0": ["bag_r8/seed=1_fraction=1.0", "bag_r8/seed=2_fraction=1.0"],
        "mlp/ensemble_fraction=0.1": ["mlp/seed=1_fraction=0.1", "mlp/seed=2_fraction=0.1"],
    }


def test_all_runs_are_averaged_once_where_they_are_the_seeds_of_one_method() -> None:
    one, two = cells("mlp", 0.1), cells("mlp", 0.1, 1.0)
    assert [*ensembles(["seeds", "all"], one, {cell.method for cell in one})] == ["mlp/ensemble_fraction=0.1"]
    assert "ensemble" in ensembles(["seeds", "all"], two, {cell.method for cell in two})


def test_what_is_not_there_is_no_member_and_one_run_no_average() -> None:
    planned = cells("mlp", 0.1)
    assert ensembles(["seeds", "all"], planned, {planned[0].method}) == {}
