"""Which half, quarter and so on of a batch fits into memory, found by short runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from taskkit.engine.smaller import changes, smaller
from taskkit.errors import OutOfMemoryError
from taskkit.preflight import estimate
from taskkit.preflight.finding import Finding
from taskkit.preflight.short import tried
from taskkit.recipe.load import Resolved


def fitting(resolved: Resolved) -> str:
    """Which changes make a recipe fit, and what it then takes; each batch that is tried is half of the one before."""
    times = 2
    while (recipe := smaller(resolved.recipe, times)) is not None:
        found = _memory(replace(resolved, recipe=recipe))
        if found and all(each.severity == "info" for each in found):
            takes = " ".join(each.message for each in found)
            return f"What fits, as a short run measured: `{changes(resolved.recipe, recipe)}`, {takes}"
        times *= 2
    return "No batch is small enough: choose a smaller network, or shorter inputs."


def _memory(resolved: Resolved) -> Sequence[Finding]:
    """What a recipe takes of each memory; none where one was full."""
    try:
        return estimate.memory(tried(resolved, seconds=1))
    except OutOfMemoryError:
        return []
