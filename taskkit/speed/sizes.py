"""Which size of a batch trains fastest, of those that fit into memory: each twice the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from taskkit.batches.entries import size_text
from taskkit.errors import OutOfMemoryError, TaskkitError
from taskkit.plugins.registry import Plugins
from taskkit.recipe import load as recipes
from taskkit.speed import arms
from taskkit.speed.measured import WARM

NEARLY = 0.95
"""A smaller batch of so much of the best throughput is preferred: it learns more from as many examples."""
SPARED = 0.9
"""The share of the free memory that a batch may be expected to take."""


@dataclass(frozen=True)
class Size:
    """What a size of a batch was measured to do."""

    size: float
    rate: float
    """Examples a second."""
    memory: int
    """Bytes: the most that torch held on a CUDA device, or this process so far."""


@dataclass(frozen=True)
class Sizes:
    """What was measured, and why no more was."""

    key: str
    recipes: float
    """The size that the recipe has."""
    tried: Sequence[Size]
    ended: str

    @property
    def best(self) -> Size:
        """The smallest that is nearly as fast as the fastest."""
        fastest = max(each.rate for each in self.tried)
        return next(each for each in self.tried if each.rate >= NEARLY * fastest)

    def lines(self) -> Iterator[str]:
        """Figures, and what they say."""
        yield f"{self.key:<18} {'examples/s':>12} {'peak memory':>12}"
        for each in self.tried:
            mark = "  as in the recipe" if each.size == self.recipes else ""
            yield f"{each.size:<18g} {each.rate:>12,.1f} {size_text(each.memory):>12}{mark}"
        own, best = self.tried[0], self.best
        yield ""
        yield self.ended
        if best.size == own.size:
            yield f"{self.key}={own.size:g}, as in the recipe, is within {1 - NEARLY:.0%} of the fastest."
            return
        yield (
            f"{self.key}={best.size:g} is the smallest within {1 - NEARLY:.0%} of the fastest, with "
            f"{best.rate / own.rate:.1f} times as many examples a second as in the recipe."
        )
        yield "It is another training: look for its rate (taskkit find lr), and see whether it learns as well."

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "best": self.best.size}


def look(
    files: Sequence[str | Path],
    overrides: Sequence[str],
    plugins: Plugins,
    steps: int,
    say: Callable[[str], None] = print,
) -> Sizes:
    """Time a recipe in batches of its own size, of twice that and so on, until one is no faster or does not fit.

    `say` is told what is timed next. Raises RecipeError for a recipe that is wrong, TaskkitError for one that takes no
    steps, OutOfMemoryError where not even a batch of its own size fits, and what a run of it would.
    """
    r = recipes.load(files, overrides, plugins).recipe
    if r.trainer.max_epochs == 0:
        raise TaskkitError("trainer.max_epochs is 0: this recipe takes no steps that could be timed. Raise it.")
    key = "loader.batch_size" if r.loader.budget is None else "loader.budget"
    own = float(r.loader.batch_size if r.loader.budget is None else r.loader.budget)
    held = [
        *overrides,
        f"trainer.max_steps={WARM + steps}",
        "trainer.max_epochs=null",
        "optim.warmup=0",
        "optim.hold=0",
    ]
    tried: list[Size] = []
    size = own
    while True:
        if tried and (takes := _expected(tried)) > SPARED * (free := _memory()):
            ended = f"{size:g} was not tried: it would take about {size_text(takes)} of {size_text(free)}."
            break
        say(f"timing {key}={size:g}")
        try:
            setting, measured = arms.ours(recipes.load(files, [*held, f"{key}={size:g}"], plugins), plugins, steps)
        except OutOfMemoryError:
            if not tried:
                raise
            ended = f"{size:g} does not fit into the memory."
            break
        except TaskkitError as error:
            if not tried:
                raise
            ended = f"{size:g} is not possible. {error}"
            break
        tried.append(Size(size, measured.rate, measured.memory))
        held = [each for each in held if not each.startswith("trainer.threads=")]
        if setting.device == "cpu":
            held.append(f"trainer.threads={setting.threads}")
        if key == "loader.batch_size" and measured.size.examples <= measured.batches * size / 2:
            ended = f"A batch of {size:g} holds a whole epoch."
            break
        if len(tried) > 2 and tried[-1].rate < tried[-3].rate / NEARLY and tried[-2].rate < tried[-3].rate / NEARLY:
            ended = "Larger batches are hardly faster."
            break
        size *= 2
    return Sizes(key, own, tried, ended)


def _expected(tried: Sequence[Size]) -> int:
    """What a batch of twice the last size would take: twice what that took beyond what is always there."""
    if len(tried) < 2:
        return 0
    return tried[-1].memory + 2 * max(0, tried[-1].memory - tried[-2].memory)


def _memory() -> int:
    """Bytes of memory that a process of this machine, or its device, can take."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_properties(0).total_memory
    return psutil.virtual_memory().available + psutil.Process().memory_info().rss
