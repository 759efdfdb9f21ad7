"""Measures a recipe, a loop written by hand beside it, and the changes that may make it faster, each in pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from taskkit.errors import TaskkitError
from taskkit.plugins.registry import Plugins
from taskkit.recipe import load as recipes
from taskkit.recipe.load import Resolved
from taskkit.speed import arms
from taskkit.speed.arms import Setting
from taskkit.speed.changes import Change, rounded, worth_trying
from taskkit.speed.measured import Measured

STEPS = 50
FASTER = 1.05
"""A change that gains less is not advised: that much may be chance."""


@dataclass(frozen=True)
class Pairs:
    """Two ways that were timed in turn, A B B A: how many times as many examples a second B takes."""

    gain: float
    """The median of all pairs."""
    low: float
    high: float
    """The least and the largest gain of a pair."""
    apart: float
    """The largest difference between their first losses, as a share."""
    agrees: bool
    """Whether that is within the limit; a gain of other losses is none."""

    @property
    def faster(self) -> bool:
        """Whether all pairs say that B is."""
        return self.agrees and self.low >= FASTER


@dataclass(frozen=True)
class Tried:
    """What became of a change."""

    change: Change
    pairs: Pairs | None
    why: str = ""
    """Why it could not be timed."""

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        if self.pairs is None:
            return {**asdict(self.change), "not_possible": self.why}
        return {**asdict(self.change), **asdict(self.pairs), "faster": self.pairs.faster}


@dataclass(frozen=True)
class Report:
    """What was measured."""

    setting: Setting
    run: Measured
    by_hand: Pairs | None
    """The loop written by hand, beside the run."""
    not_by_hand: str
    """Why there is none; empty where there is."""
    tried: Sequence[Tried]

    @property
    def waiting(self) -> float:
        """The share of the time in which the next batch was not there."""
        return self.run.waited / self.run.seconds

    @property
    def padding(self) -> float:
        """The share of what the network computed on that was padding."""
        size = self.run.size
        return 1 - size.real / size.padded if size.padded else 0.0

    @property
    def host(self) -> float | None:
        """The share of a step that the loop written by hand does without; None: not measured."""
        return None if self.by_hand is None or not self.by_hand.agrees else 1 - 1 / self.by_hand.gain

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        run = self.run
        return {
            "setting": asdict(self.setting),
            "batches": run.batches,
            "examples_per_second": run.rate,
            "units_per_second": run.size.real / self.setting.scale / run.seconds,
            "milliseconds_per_batch": 1000 * run.seconds / run.batches,
            "padding": self.padding,
            "waiting": self.waiting,
            "host": self.host,
            "by_hand": None if self.by_hand is None else asdict(self.by_hand),
            "not_by_hand": self.not_by_hand or None,
            "recompilations": run.compiled,
            "peak_memory_bytes": run.memory,
            "first_step_seconds": run.first_step,
            "tried": [each.plain() for each in self.tried],
        }


def bench(
    files: Sequence[str | Path],
    overrides: Sequence[str],
    plugins: Plugins,
    steps: int = STEPS,
    say: Callable[[str], None] = print,
) -> Report:
    """Time a recipe, and what may make it faster; nothing is left but encoded samples.

    `say` is told what is timed next. Raises RecipeError for a recipe that is wrong, TaskkitError for one
    that takes no steps, and what a run of it would.
    """
    resolved = recipes.load(files, overrides, plugins)
    if resolved.recipe.trainer.max_epochs == 0:
        raise TaskkitError("trainer.max_epochs is 0: this recipe takes no steps that could be timed. Raise it.")
    say("timing the recipe as it is")
    setting, run = arms.ours(resolved, plugins, steps)
    # How many threads a run takes depends on what else the machine does just then.
    held = [*overrides, f"trainer.threads={setting.threads}"] if setting.device == "cpu" else list(overrides)
    resolved = recipes.load(files, held, plugins)
    time = partial(_time, plugins=plugins, steps=steps)
    why = arms.beyond_by_hand(resolved.recipe, setting)
    hand = None
    if not why:
        say("timing a loop written by hand")
        hand = in_pairs(lambda: time(resolved), lambda: arms.by_hand(resolved, steps), rounded(setting))
    tried = []
    for change in worth_trying(resolved.recipe, setting):
        say(f"timing {change.override}")
        tried.append(_tried(change, files, held, plugins, resolved, time))
    return Report(setting, run, hand, why, tried)


def _time(resolved: Resolved, plugins: Plugins, steps: int) -> Measured:
    return arms.ours(resolved, plugins, steps)[1]


def _tried(
    change: Change,
    files: Sequence[str | Path],
    overrides: Sequence[str],
    plugins: Plugins,
    resolved: Resolved,
    time: Callable[[Resolved], Measured],
) -> Tried:
    """Time a change; one that cannot be, as where memory is full, is told with the reason."""
    try:
        changed = recipes.load(files, [*overrides, change.override], plugins)
        return Tried(change, in_pairs(lambda: time(resolved), lambda: time(changed), change.limit))
    except TaskkitError as error:
        return Tried(change, None, " ".join(str(error).split()))


def in_pairs(one: Callable[[], Measured], other: Callable[[], Measured], limit: float) -> Pairs:
    """Time two ways A B B A, so that what the machine does meanwhile slows both; where B seems faster, once again."""
    pairs = _round(one, other)
    if _compared(pairs, limit).faster:
        pairs += _round(one, other)
    return _compared(pairs, limit)


def _round(one: Callable[[], Measured], other: Callable[[], Measured]) -> list[tuple[Measured, Measured]]:
    """A B B A: two pairs."""
    first = one(), other()
    last = other()
    return [first, (one(), last)]


def _compared(pairs: Sequence[tuple[Measured, Measured]], limit: float) -> Pairs:
    gains = [b.rate / a.rate for a, b in pairs]
    apart = max(_apart(a.losses, b.losses) for a, b in pairs)
    return Pairs(median(gains), min(gains), max(gains), apart, apart <= limit)


def _apart(one: Sequence[float], other: Sequence[float]) -> float:
    """The largest difference between two rows of losses, as a share of the first."""
    if len(one) != len(other):
        return float("inf")
    return max((abs(a - b) / max(abs(a), 1e-12) for a, b in zip(one, other, strict=True)), default=0.0)
