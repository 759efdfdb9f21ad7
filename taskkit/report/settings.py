"""What runs have otherwise, and how a metric follows a number that alone is otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from taskkit.compare.comparison import Line
from taskkit.report import numbers
from taskkit.report.charts import Spot, scatter
from taskkit.report.document import Cell, Figure, More, Part, Prose, grid
from taskkit.report.reading import RunFiles
from taskkit.runs.difference import Differing, differences
from taskkit.wording import shown

LEAST = 3
"""A number that takes fewer values is no axis."""
NAMES = ("title", "seed")
"""Of a recipe: what does not decide what is learnt."""


def differing(runs: Sequence[tuple[str, RunFiles]]) -> Iterator[Part]:
    """What each run has that the first has not, or has otherwise: recipe and data, then environment."""
    found = _apart([run for _, run in runs])
    columns = ("key", *(name for name, _ in runs))
    parts = [("Recipes", ("recipe",)), ("Data", ("data",)), ("Environments", ("environment",))]
    there = False
    for title, sections in parts:
        rows = [
            [Cell(key), *(Cell(_said(value)) for value in values)]
            for (section, key), values in found.items()
            if section in sections
        ]
        if rows:
            there = True
            table = grid(f"{title}: what is not alike in all.", columns, rows)
            yield More(f"{title}: {len(rows)} differences", (table,)) if sections == ("environment",) else table
    if not there:
        yield Prose("Recipes, data and environments are alike.")


def _apart(runs: Sequence[RunFiles]) -> dict[tuple[str, str], list[Any]]:
    """By section and key the value of each run, where it is not one for all."""
    first, *rest = runs
    each = [{(d.section, d.key): d for d in differences(first.manifest, run.manifest)} for run in rest]
    keys = [key for key in dict.fromkeys(key for found in each for key in found) if key[0] != "metrics"]
    made = {}
    for key in keys:
        known = next(found[key].one for found in each if key in found)
        made[key] = [known, *(_of(found.get(key), known) for found in each)]
    return made


def _of(found: Differing | None, known: Any) -> Any:
    return known if found is None else found.other


def _said(value: Any) -> str:
    if value is None:
        return numbers.NOTHING
    return value if isinstance(value, str) else f"{value:.6g}" if isinstance(value, float) else shown(value)


def by_setting(lines: Sequence[tuple[Line, RunFiles]]) -> Iterator[Part]:
    """The metric over the one number of recipe or data in which all these runs differ; nothing where there is none.

    So learning curves over shares of the data are drawn, and sweeps of a rate or a size.
    """
    metrics = {line.metric for line, _ in lines}
    if len(lines) < LEAST or len(metrics) > 1:
        return
    found = _apart([run for _, run in lines])
    keys = [
        (section, key)
        for section, key in found
        if (section == "recipe" and key not in NAMES) or key.startswith("sizes.")
    ]
    recipe = [key for key in keys if key[0] == "recipe"]
    sizes = [key for key in keys if key == ("data", "sizes.train")]
    for key in sizes if len(recipe) <= 1 and sizes else recipe if len(recipe) == 1 else []:
        values = found[key]
        if len({*map(str, values)}) < LEAST or not all(_is_number(value) for value in values):
            continue
        spots = [
            Spot(line.name, float(value), line.value, line.low, line.high)
            for (line, _), value in zip(lines, values, strict=True)
        ]
        name = "training examples" if key[1] == "sizes.train" else key[1]
        (metric,) = metrics
        svg = scatter("by-setting", f"{metric} by {name}", spots, name, metric, joined=True)
        yield Figure(svg, f"Test {metric} over {name}, the only thing in which the recipes differ.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
