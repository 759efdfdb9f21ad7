"""What each recipe of a study takes, by a short run of it: with torch, and some minutes' work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from taskkit.engine.space import PLAIN, VALIDATED
from taskkit.preflight.estimate import estimate
from taskkit.preflight.short import tried
from taskkit.study.estimate import Taken, recipe_of
from taskkit.study.plan import Cell


def looked_ahead(cells: Sequence[Cell]) -> Iterator[tuple[Cell, Taken]]:
    """For each recipe the first of its cells and what that takes; raises what a run of it would raise."""
    for cell in {recipe_of(cell.plain): cell for cell in reversed(cells)}.values():
        timed = tried(cell.resolved)
        copies = VALIDATED if timed.validated else PLAIN
        yield cell, Taken(estimate(timed, cell.resolved.recipe).total, copies * timed.checkpoint)
