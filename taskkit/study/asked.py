"""How often the runs of a study asked each test split."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from taskkit.errors import CheckpointError
from taskkit.runs import manifest
from taskkit.runs.manifest import Manifest, Protocol
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
            runs.setdefault(key, {})[name] = _method(said)
    return tuple(
        Asked(*key, times=len(found), methods=len({*found.values()}), runs=tuple(found)) for key, found in runs.items()
    )


def splits_of(protocol: Protocol) -> str:
    """What names the test that a run asked: of a fold, all folds together."""
    said = protocol.data_protocol
    return f"{said['of']} in {said['folds']} folds" if "fold" in said else protocol.splits


def _method(said: Manifest) -> str:
    """What a run is but for its seed, its fold and its title; of an average, its members."""
    loader = {**said.resolved.get("loader", {}), "fold": 0}
    members = said.derived.members if said.derived is not None else ()
    return json.dumps(
        [{**said.resolved, "seed": 0, "title": None, "loader": loader}, members], sort_keys=True, default=str
    )
