"""What may be told of a run to whoever asks its model, as plain data: nothing of the machine that trained it."""

from __future__ import annotations

import dataclasses
from typing import Any

from taskkit.runs.manifest import Manifest

ORIGIN = ("name", "sha256", "licence", "citation")
"""What is told of where data and weights are from; not where they lie on the machine that trained."""


def known(manifest: Manifest) -> dict[str, Any]:
    """Its metrics with their intervals, its data and their licences, its cost."""
    data, protocol = manifest.data, manifest.protocol
    return {
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
