"""Self-contained checkpoints: all that rebuilds a run's task, in plain data that `weights_only` can load."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from taskkit.contracts.component import load
from taskkit.errors import CheckpointError
from taskkit.plugins.discovery import PluginInfo, Plugins
from taskkit.contracts.facts import DataSpec, Fact, Origin

FORMAT = 1
KEY = "taskkit"
NETWORK = "network."


@dataclass(frozen=True)
class Saved:
    """What a checkpoint says of its run."""

    path: Path
    recipe: dict[str, Any]
    spec: dict[str, Any]
    processor: dict[str, Any]
    plugins: list[dict[str, str]]
    state: dict[str, Any]
    """The network's weights, by the network's own names."""
    step: int


def contents(
    recipe: Mapping[str, Any], spec: DataSpec, processor: Mapping[str, Any], plugins: Iterable[PluginInfo]
) -> dict[str, Any]:
    """What goes into a checkpoint beside the weights and the Trainer's own state."""
    return {
        "format": FORMAT,
        "recipe": dict(recipe),
        "spec": pack(spec),
        "processor": dict(processor),
        "plugins": [dataclasses.asdict(plugin) for plugin in plugins],
    }


def read(path: Path) -> Saved:
    """Read a checkpoint on the CPU without running any code in it.

    Raises CheckpointError when the file is missing, damaged, unsafe or not one of ours.
    """
    whole = load_safely(path)
    ours = whole.get(KEY) if isinstance(whole, dict) else None
    if not isinstance(ours, dict):
        raise CheckpointError(f"{path}: not a checkpoint of taskkit. One from a run directory was expected.")
    if ours.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: checkpoint format {ours.get('format')!r}; this taskkit reads {FORMAT}. "
            "Use the taskkit version that wrote it."
        )
    state = {k.removeprefix(NETWORK): v for k, v in whole["state_dict"].items() if k.startswith(NETWORK)}
    return Saved(
        path=path,
        recipe=ours["recipe"],
        spec=ours["spec"],
        processor=ours["processor"],
        plugins=ours["plugins"],
        state=state,
        step=whole["global_step"],
    )


def load_safely(path: Path) -> Any:
    """`torch.load` with `weights_only`, on the CPU; raises CheckpointError, never runs a pickle's code."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file. A checkpoint was expected.") from None
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: refused, since it holds more than weights and plain data ({str(error).splitlines()[0]}). "
            "Only checkpoints that torch loads with weights_only=True are read."
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path}: damaged or no checkpoint ({str(error).splitlines()[0]}). A file written by taskkit was expected."
        ) from None


def pack(spec: DataSpec) -> dict[str, Any]:
    """The facts as plain data, with the import path of each type."""
    return {
        "input": _pack_fact(spec.input),
        "target": _pack_fact(spec.target),
        "fingerprint": spec.fingerprint,
        "origins": [dataclasses.asdict(origin) for origin in spec.origins],
        "protocol": dict(spec.protocol),
    }


def unpack(packed: Mapping[str, Any], plugins: Plugins) -> DataSpec:
    """The facts again; only types that an installed component declares are imported.

    Raises CheckpointError for a type that none declares.
    """
    return DataSpec(
        input=_unpack_fact(packed["input"], plugins),
        target=_unpack_fact(packed["target"], plugins),
        fingerprint=packed["fingerprint"],
        origins=tuple(Origin(**origin) for origin in packed["origins"]),
        protocol=packed["protocol"],
    )


def _pack_fact(fact: Fact) -> dict[str, Any]:
    return {"type": f"{type(fact).__module__}:{type(fact).__qualname__}", "fields": dataclasses.asdict(fact)}


def _unpack_fact(packed: Mapping[str, Any], plugins: Plugins) -> Fact:
    declared = {reference for component in plugins.components for reference in (component.input, *component.targets)}
    if packed["type"] not in declared:
        raise CheckpointError(
            f"The checkpoint's facts are of the type {packed['type']}, which no installed plugin declares. "
            "Install the plugins that the run's manifest names."
        )
    fact: Fact = load(packed["type"])(**{k: _tuples(v) for k, v in packed["fields"].items()})
    return fact


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
