"""What may be told of a run to whoever asks its model, as plain data: nothing of the machine that trained it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any

from taskkit.runs.manifest import Manifest

ORIGIN = ("name", "sha256", "licence", "citation")
"""What is told of where data and weights are from; not where they lie on the machine that trained."""


def without_places(value: Any) -> Any:
    """Plain data in which the path of a file or a folder of this machine is its last name alone.

    What stands at the root, as `/b`, stays: it may be a word.
    """
    if isinstance(value, str):
        path: PurePath = PureWindowsPath(value)
        if not path.is_absolute():
            path = PurePosixPath(value)
        placed = value.startswith("~/") or (path.is_absolute() and len(path.parts) > 2)
        return path.name if placed else value
    if isinstance(value, Mapping):
        return {name: without_places(each) for name, each in value.items()}
    return [without_places(each) for each in value] if isinstance(value, list | tuple) else value


def elsewhere(manifest: Manifest) -> Manifest:
    """What run.json says, for whoever is handed the run: without places of this machine."""
    data = manifest.data
    if data is None:
        return manifest
    return replace(manifest, data=replace(data, origins=tuple(without_places(dict(each)) for each in data.origins)))


def known(manifest: Manifest) -> dict[str, Any]:
    """Its metrics with their intervals, its data and their licences, its cost; null is what is no number."""
    data, protocol = manifest.data, manifest.protocol
    found: dict[str, Any] = _numbers(
        {
            "id": manifest.id,
            "status": manifest.status,
            "title": manifest.recipe.title,
            "task": None if protocol is None else protocol.task,
            "model": dict(manifest.resolved.get("model") or {}).get("name"),
            "data": None
            if data is None
            else {
                "name": data.name,
                "sizes": dict(data.sizes),
                "origins": [{key: dict(each).get(key, "") for key in ORIGIN} for each in data.origins],
            },
            "headline": None if protocol is None else {"name": protocol.headline[0], "better": protocol.headline[1]},
            "metrics": dict(manifest.metrics),
            "baseline": dict(manifest.baseline or {}),
            "intervals": {metric: dataclasses.asdict(found) for metric, found in manifest.intervals.items()},
            "remarks": list(manifest.remarks),
            "cost": dataclasses.asdict(manifest.cost),
            "precision": manifest.precision,
            "ended": manifest.ended,
        }
    )
    return found


def _numbers(value: Any) -> Any:
    """Plain data with None for nan and infinities, which no JSON of a client's holds."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _numbers(each) for name, each in value.items()}
    return [_numbers(each) for each in value] if isinstance(value, list | tuple) else value
