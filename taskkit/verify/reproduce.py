"""A run again: what is otherwise now, and whether it gives what it gave."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from taskkit import api
from taskkit.apart import of_numbers
from taskkit.errors import CheckpointError
from taskkit.loaded_run import LoadedRun
from taskkit.plugins.registry import Plugins
from taskkit.recipe.load import load
from taskkit.runs.difference import Differing, differences
from taskkit.runs.record import environment
from taskkit.wording import quoted

FREE = ("environment git.commit", "environment git.dirty", "environment git")
"""What may differ where the code of all components is recorded to be the same."""
UNKNOWN = ("environment cpu", "environment threads", "environment code.", "recipe trackers.")
"""What runs of older versions did not record."""


@dataclass(frozen=True)
class Reproduction:
    """How a run and the same run again compare."""

    differing: Sequence[Differing]
    """What is otherwise now, metrics left out."""
    alike: bool
    """Whether nothing is otherwise that decides a number, so that the same bits were to be expected."""
    largest: float
    """The largest difference of a test metric."""
    where: str

    def agrees(self, tolerance: float) -> bool:
        """Whether the metrics are the same, to the bit where that was to be expected, else within a tolerance."""
        return self.largest == 0 if self.alike else self.largest <= tolerance


def surroundings(run: LoadedRun) -> list[Differing]:
    """What is otherwise now and can be told before anything is done: Python, platform, packages and the checkout."""
    recorded = run.manifest.environment
    here = {**recorded, **environment(str(recorded.get("device", "")))}
    return [
        each for each in differences(run.manifest, replace(run.manifest, environment=here)) if not _unrecorded(each)
    ]


def reproduce(run: LoadedRun, plugins: Plugins, out: Path | None, console: Console) -> tuple[LoadedRun, Reproduction]:
    """Run a finished run's recipe again, into a new directory, and compare the two.

    Raises CheckpointError for a run that did not finish or was never tested: there is nothing to compare with.
    """
    if run.status != "finished" or not run.metrics:
        raise CheckpointError(
            f"{run.path}: it is {run.status} and has {len(run.metrics)} test metrics. A finished run that was tested "
            f"was expected. Go on with it first: taskkit run --resume {quoted(run.path)}"
        )
    if run.manifest.derived is not None:
        raise CheckpointError(
            f"{run.path}: it was made of other runs ({run.manifest.derived.kind}) and has no recipe of its own. "
            f"Name one of its members, such as {run.manifest.derived.where(run.path)}"
        )
    if run.manifest.changes:
        raise CheckpointError(
            f"{run.path}: it was changed after step {run.manifest.changes[0].step}, by --from-good, so its recipe "
            f"gives other numbers. A run that went on as it began was expected. Begin one: "
            f"taskkit run {quoted(run.path)}/recipe.yaml"
        )
    threads = run.manifest.environment.get("threads")
    changes = [] if threads is None else [f"trainer.threads={threads}"]
    resolved = load([run.path / "recipe.yaml"], changes, plugins)
    again = api.start(resolved, plugins, out or _beside(run.path), console)
    return again, compared(run, again)


def compared(run: LoadedRun, again: LoadedRun) -> Reproduction:
    """How two runs of one recipe compare."""
    found = [each for each in differences(run.manifest, again.manifest) if each.section != "metrics"]
    # What the recipe says of threads decides nothing that the number of them, which is recorded, does not.
    differing = [each for each in found if not _unrecorded(each) and _name(each) != "recipe trainer.threads"]
    apart = of_numbers(run.metrics, again.metrics)
    alike = all(_name(each) in FREE for each in differing) and bool(run.manifest.environment.get("code"))
    return Reproduction(differing, alike, math.inf if math.isnan(apart.size) else apart.size, apart.where)


def _beside(run: Path) -> Path:
    """A directory beside a run that is not there yet."""
    names = (f"{run.resolve().name}_again{'' if number == 1 else number}" for number in range(1, 1000))
    return next(path for name in names if not (path := run.with_name(name)).exists())


def _name(each: Differing) -> str:
    return f"{each.section} {each.key}"


def _unrecorded(each: Differing) -> bool:
    return each.one is None and _name(each).startswith(UNKNOWN)
