"""Self-contained checkpoints: all that rebuilds a run's task, in plain data that `weights_only` can load."""

from __future__ import annotations

import dataclasses
import io
import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from taskkit.contracts.component import PluginInfo
from taskkit.contracts.facts import Catalogue, DataSpec, Fact
from taskkit.errors import CheckpointError, RunFailedError
from taskkit.runs.encryption import check_whole, is_encrypted, reading
from taskkit.runs.packing import pack

FORMAT = 2
READABLE = (1, 2)
"""Of format 1, of taskkit 0.1, weights and facts are read; the state of the Trainer in it is another's."""
KEY = "taskkit"
HISTORY = "taskkit_history"
"""Holds what each validation so far gave."""
LINES = "taskkit_lines"
"""Holds how many lines metrics.jsonl had."""
RANDOM = "taskkit_random"
"""Holds the random states of each process."""
TASK = "task."
"""What the names of the task's weights begin with in a checkpoint of format 2."""
CONCLUSION = "conclusion.pt"
_PLAIN = (type(None), bool, int, float, str)


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds of its run."""

    path: Path
    format: int
    recipe: dict[str, Any]
    spec: dict[str, Any]
    processor: dict[str, Any]
    plugins: list[dict[str, str]]
    state: dict[str, Any]
    """The weights of the task, those of its network under `network.`."""
    step: int
    epoch: int
    """Counted from 0."""
    history: list[dict[str, float]]
    """The single numbers of each validation so far; the last of them is that of these weights in `best.ckpt`."""
    lines: int | None
    """How many metrics.jsonl had; None: an older taskkit wrote it."""
    processes: int
    """So many trained."""


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
    if ours.get("format") not in READABLE:
        raise CheckpointError(
            f"{path}: checkpoint format {ours.get('format')!r}; this taskkit reads {READABLE[-1]} and older. "
            "Use the taskkit version that wrote it."
        )
    try:
        return Saved(
            path=path,
            format=ours["format"],
            recipe=ours["recipe"],
            spec=ours["spec"],
            processor=ours["processor"],
            plugins=ours["plugins"],
            state={name.removeprefix(TASK): value for name, value in whole["state_dict"].items()},
            step=whole["global_step"],
            epoch=whole["epoch"],
            history=list(whole.get(HISTORY, ())),
            lines=whole.get(LINES),
            processes=len(whole.get(RANDOM, (None,))),
        )
    except (KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: damaged, since it lacks {error}. A file written by taskkit was expected."
        ) from None


def learnt(path: Path) -> list[str]:
    """What a checkpoint has that the processor learnt, by name with its kind and size; raises as `read` does."""
    return [f"{name} ({_kind(value)})" for name, value in read(path).processor.items()]


def _kind(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of {value.numel():,}"
    if isinstance(value, str):
        return f"a text of {len(value):,} characters"
    if isinstance(value, Mapping | list | tuple | set):
        return f"{len(value):,} entries"
    return type(value).__name__


def load_safely(path: Path | io.BytesIO) -> Any:
    """`torch.load` with `weights_only`, on the CPU; raises CheckpointError, never runs a pickle's code.

    torch reads weights without comparing the checksums that it wrote beside them, so they are compared here. What is
    encrypted has been authenticated as it is read.
    """
    try:
        if isinstance(path, Path) and is_encrypted(path):
            try:
                with reading(path) as file:
                    return torch.load(file, map_location="cpu", weights_only=True)
            except (RuntimeError, ValueError):
                # torch hides what its reader met.
                check_whole(path)
                raise
        if isinstance(path, Path) and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if (damaged := archive.testzip()) is not None:
                    raise ValueError(f"the checksum of {damaged} is another")
        return torch.load(path, map_location="cpu", weights_only=True)
    except (CheckpointError, MemoryError):
        raise
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file. A checkpoint was expected.") from None
    except pickle.UnpicklingError as error:
        # torch's own words advise to load it all the same.
        named = re.search(r"\bGLOBAL ([\w.]+)", str(error))
        what = f": {named[1]}" if named else ""
        raise CheckpointError(
            f"{path}: refused, since it holds more than weights and plain data{what}. Nothing in it was run. Only "
            "checkpoints that torch loads with weights_only=True are read."
        ) from None
    except Exception as error:
        # What is no archive torch reads as an old pickle, which fails in any way there is.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{path}: damaged or no checkpoint ({reason}). A file written by taskkit was expected."
        ) from None


def check_plain(what: str, value: Any) -> None:
    """Raise RunFailedError, which names the place, for what could be written into a checkpoint and not be read back."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            check_plain(f"{what}[{name!r}]", item)
    elif type(value) in (list, tuple, set):
        for number, item in enumerate(value):
            check_plain(f"{what}[{number}]", item)
    elif type(value) not in (*_PLAIN, bytes, torch.Tensor):
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        raise RunFailedError(
            f"{what} is a {kind}, which a checkpoint cannot give back. Plain data were expected: None, bool, int, "
            "float, str, bytes, tensors, and lists, tuples or mappings of these. Convert it, as with float() or str()."
        )


def check_facts(what: str, fact: Fact) -> None:
    """Raise RunFailedError for a field of a fact that a checkpoint cannot give back."""
    for each in dataclasses.fields(fact):
        _check_field(f"{what}: {type(fact).__name__}.{each.name}", getattr(fact, each.name))


def _check_field(where: str, value: Any) -> None:
    if isinstance(value, Fact):
        check_facts(where, value)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            _check_field(f"{where}[{name!r}]", item)
    elif isinstance(value, tuple):
        # Names of millions of items are plain, all or none.
        for item in value[:1000]:
            _check_field(where, item)
    elif not isinstance(value, Catalogue):
        check_plain(where, value)
