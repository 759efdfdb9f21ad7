"""How often the runs of a study asked each test split."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from taskkit.errors import CheckpointError
from taskkit.runs import manifest
from taskkit.runs.study import Asked


def asked(study: Path, names: Iterable[str]) -> tuple[Asked, ...]:
    """For each test split, and each headline that it was judged by, the runs that were tested on it."""
    runs = dict[tuple[str, str, str], dict[str, str]]()
    for name in names:
        try:
            said = manifest.read(study / name)
        except CheckpointError:
            continue
        if said.metrics and said.protocol is not None:
            key = (said.protocol.data, said.protocol.splits, said.protocol.headline[0])
            runs.setdefault(key, {})[name] = _without_seed(said.resolved)
    return tuple(
        Asked(*key, times=len(found), methods=len({*found.values()}), runs=tuple(found)) for key, found in runs.items()
    )


def _without_seed(recipe: Mapping[str, Any]) -> str:
    return json.dumps({name: value for name, value in recipe.items() if name != "seed"}, sort_keys=True, default=str)
