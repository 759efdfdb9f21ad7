"""What a study takes: seconds and bytes, from runs of the same recipes that were finished before."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from taskkit.cachedir import size_of
from taskkit.errors import CheckpointError
from taskkit.runs import manifest
from taskkit.runs.listing import runs_below
from taskkit.study.plan import Cell


@dataclass(frozen=True)
class Taken:
    """What one run takes."""

    seconds: float
    size: int
    """Bytes on the disk."""


@dataclass(frozen=True)
class Estimate:
    """What is still to be run, and what that takes."""

    runs: int
    known: int
    """Runs of which it is known what they take."""
    seconds: float
    """Of the known ones, one after the other."""
    size: int
    """Bytes of the known ones."""


def recipe_of(resolved: Mapping[str, Any]) -> str:
    """What a recipe is but for its seed and its title, as text that can be compared."""
    return json.dumps(
        {name: each for name, each in resolved.items() if name not in ("seed", "title")}, sort_keys=True, default=str
    )


def from_before(roots: Iterable[Path]) -> dict[str, Taken]:
    """What runs below some directories took, by their recipe; of several the last one."""
    taken = dict[str, tuple[str, Taken]]()
    for run in dict.fromkeys(each.absolute() for root in roots if root.is_dir() for each in runs_below(root)):
        try:
            said = manifest.read(run)
        except CheckpointError:
            continue
        if said.status != "finished" or not said.started or not said.ended:
            continue
        seconds = (datetime.fromisoformat(said.ended) - datetime.fromisoformat(said.started)).total_seconds()
        key = recipe_of(said.resolved)
        if key not in taken or taken[key][0] < said.ended:
            taken[key] = (said.ended, Taken(seconds, size_of(run)))
    return {key: each for key, (_, each) in taken.items()}


def estimate(cells: Sequence[Cell], taken: Mapping[str, Taken]) -> Estimate:
    """What these cells take, as far as that is known."""
    found = [taken[key] for cell in cells if (key := recipe_of(cell.plain)) in taken]
    return Estimate(len(cells), len(found), sum(each.seconds for each in found), sum(each.size for each in found))
