"""Which changes of a recipe may make it faster, by what its run turned out to train with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from taskkit import cores
from taskkit.contracts.recipe import Recipe
from taskkit.engine.placement import precision
from taskkit.speed.arms import Setting

SAME, ROUNDED, OTHER_BATCHES = 1e-3, 3e-2, 0.25
"""How far first losses may be apart, as shares: where sums are in another order, where numbers are rounded otherwise,
and where a loss is the mean over other examples."""


@dataclass(frozen=True)
class Change:
    """Something to try."""

    override: str
    """As it is written on the command line."""
    limit: float
    """How far first losses may be apart, as a share."""
    same_work: bool = True
    """Whether it is still the same training; else what it learns must be looked at too."""


def worth_trying(recipe: Recipe, setting: Setting) -> Iterator[Change]:
    """All that makes sense here."""
    usable, loader = len(cores.usable()), recipe.loader
    if not setting.resident:
        if loader.encode == "lazy":
            yield Change("loader.encode=ahead", SAME)
        if loader.resident == "no":
            yield Change("loader.resident=auto", SAME)
        if (more := min(usable, 2 * setting.workers or 2)) > setting.workers and usable > 1:
            yield Change(f"loader.workers={more}", SAME)
    on_cpu = setting.device == "cpu"
    if precision("auto", "cpu" if on_cpu else "auto") == "bf16-mixed":
        other = {"32-true": "bf16-mixed", "bf16-mixed": "32-true"}.get(setting.precision)
        if other is not None:
            yield Change(f"trainer.precision={other}", ROUNDED)
    if on_cpu:
        for number in sorted({1, usable} - {setting.threads}):
            yield Change(f"trainer.threads={number}", rounded(setting))
    if setting.convolutional and not recipe.channels_last:
        yield Change("channels_last=true", rounded(setting))
    if not recipe.compile and not on_cpu:
        yield Change("compile=true", rounded(setting))
    if loader.budget is not None:
        yield Change(f"loader.budget={2 * loader.budget:g}", OTHER_BATCHES, same_work=False)
    else:
        yield Change(f"loader.batch_size={2 * loader.batch_size}", OTHER_BATCHES, same_work=False)


def rounded(setting: Setting) -> float:
    """How far losses may be apart that the same numbers give in another order."""
    return SAME if setting.precision == "32-true" else ROUNDED
