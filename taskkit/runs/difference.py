"""What differs between two runs, by their manifests: recipe, environment, data, metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from packaging.utils import canonicalize_name

from taskkit.errors import CheckpointError
from taskkit.runs.manifest import Manifest

SECTIONS = ("recipe", "environment", "data", "metrics")


@dataclass(frozen=True)
class Differing:
    """One thing that two runs have otherwise; None: one has no such thing."""

    section: str
    key: str
    one: Any
    other: Any


def differences(one: Manifest, other: Manifest) -> list[Differing]:
    """All that differs, by section and key; times, names and costs of runs always do and are left out."""
    mine, theirs = _facts(one), _facts(other)
    return [
        Differing(section, key, mine[section].get(key), theirs[section].get(key))
        for section in SECTIONS
        for key in sorted(mine[section].keys() | theirs[section].keys())
        if mine[section].get(key) != theirs[section].get(key)
    ]


def pins(run: Manifest) -> str:
    """The packages that a run recorded, a `name==version` a line, and its Python as a comment.

    Nothing in it names the machine. Raises CheckpointError where a run recorded none, as one that ended too soon.
    """
    packages = run.environment.get("packages")
    if not packages:
        raise CheckpointError(
            f"{run.id}: no packages are recorded in its manifest. A run that began to train was expected; this one is "
            f"{run.status}. Go on with it first."
        )
    found = sorted({canonicalize_name(name): version for name, version in packages.items()}.items())
    return "".join(
        [f"# Python {run.environment.get('python')}\n", *(f"{name}=={version}\n" for name, version in found)]
    )


def _facts(run: Manifest) -> Mapping[str, Mapping[str, Any]]:
    data, environment = run.data, dict(run.environment)
    plugins = {f"plugins.{each['distribution']}": each["version"] for each in run.plugins}
    stated = {} if data is None else {"name": data.name, "fingerprint": data.fingerprint, "sizes": data.sizes}
    origins = {} if data is None else {str(each.get("name", n)): each for n, each in enumerate(data.origins)}
    protocol = {} if run.protocol is None else {"task": run.protocol.task_protocol, "data": run.protocol.data_protocol}
    return {
        "recipe": dict(_leaves(run.resolved)),
        "environment": {**dict(_leaves(environment)), **plugins, "precision": run.precision},
        "data": dict(_leaves({**stated, "origins": origins, "protocol": protocol})),
        "metrics": dict(run.metrics),
    }


def _leaves(values: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{at}{name}.")
        else:
            yield f"{at}{name}", list(value) if isinstance(value, tuple) else value
