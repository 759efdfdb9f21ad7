"""How often the runs of a study asked each test split."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from taskkit.errors import CheckpointError
from taskkit.runs import manifest
from taskkit.runs.manifest import Protocol
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
            key = (said.protocol.data, splits_of(said.protocol), said.protocol.headline[0])
            runs.setdefault(key, {})[name] = _method(said.resolved)
    return tuple(
        Asked(*key, times=len(found), methods=len({*found.values()}), runs=tuple(found)) for key, found in runs.items()
    )


def splits_of(protocol: Protocol) -> str:
    """What names the test that a run asked: of a fold, all folds together."""
    said = protocol.data_protocol
    return f"{said['of']} in {said['folds']} folds" if "fold" in said else protocol.splits


def _method(recipe: Mapping[str, Any]) -> str:
    """What a recipe is but for its seed and its fold."""
    loader = {**recipe.get("loader", {}), "fold": 0}
    return json.dumps({**recipe, "seed": 0, "loader": loader}, sort_keys=True, default=str)
