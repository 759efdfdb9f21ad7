"""A small run of a real modality, what it must end with, and what must be whole at any moment of it."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from pyarrow import parquet

from taskkit.batches.store import Encoded
from taskkit.errors import TaskkitError
from taskkit.runs import manifest
from tests.same_run import losses

RECIPE = """\
title: Digits
seed: 3
task: {name: image.classification}
model: {name: image.mlp, widths: [16], dropout: 0.2}
data: {name: image.digits}
loader: {batch_size: 128, resident: no}
optim: {lr: 1.0e-2, warmup: 0.1}
trainer: {max_epochs: 3, accelerator: cpu, val_check_interval: 4}
checkpoint: {every_n_steps: 3}
meter: {every_n_steps: 4, flops: false}
"""
"""Fetched, encoded into the store and read from there; nine validations, as many checkpoints again, predictions."""

STAGES = (
    "imports and recipe",
    "fetch",
    "prepare",
    "encode",
    "build and first steps",
    "training, validations and checkpoints",
    "test",
    "last writes",
    "after the end",
)


def outcome(run: Path) -> dict[str, Any]:
    """All that two runs must have alike: weights, logged lines, test metrics, predictions and tables."""
    states = {
        name: torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True, map_location="cpu")
        for name in ("best", "last")
    }
    return {
        "lines": losses(run),
        "weights": {
            name: {key: (value.dtype, value.tolist()) for key, value in state["state_dict"].items()}
            for name, state in states.items()
        },
        "steps": {name: state["global_step"] for name, state in states.items()},
        "metrics": json.loads((run / "run.json").read_text())["metrics"],
        "predictions": parquet.read_table(io.BytesIO((run / "predictions.parquet").read_bytes())).to_pylist(),
        "tables": {path.name: path.read_text() for path in sorted(run.glob("*.csv"))},
    }


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The names of what two outcomes do not have alike."""
    return [name for name in one if one[name] != other[name]]


def stage(run: Path, cache: Path) -> str:
    """How far a run is by what is on the disk."""
    try:
        found = json.loads((run / "run.json").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return STAGES[0]
    if found["status"] != "running":
        return STAGES[8]
    if found.get("metrics"):
        return STAGES[7]
    if found.get("checkpoints"):
        return STAGES[6]
    if (run / "checkpoints" / "last.ckpt").exists():
        return STAGES[5]
    if found.get("data"):
        return STAGES[4]
    if any((cache / "samples").glob("*")):
        return STAGES[3]
    return STAGES[2] if any((cache / "sources").glob("*/.origin.json")) else STAGES[1]


def broken(run: Path, cache: Path) -> Iterator[str]:
    """What is half-made under a final name, in a run directory and in the cache."""
    if not run.exists():
        return
    yield from _broken_manifest(run)
    for path in run.rglob("*"):
        if path.name.startswith(".") or not path.is_file():
            continue
        try:
            _read(path)
        except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
            # A file that was replaced between its listing and its reading is no fault of who replaced it.
            if path.exists():
                yield f"{path.name}: {type(error).__name__}: {error}"
    for entry in _entries(cache / "samples"):
        try:
            Encoded.open(entry)
        except TaskkitError as error:
            if entry.exists():
                yield f"the store: {error}"
    for entry in _entries(cache / "sources"):
        if not (entry / ".origin.json").is_file():
            yield f"the sources: {entry.name} has no record"


def _broken_manifest(run: Path) -> Iterator[str]:
    """What is wrong with run.json, which may be read at any moment."""
    try:
        manifest.read(run)
    except TaskkitError as error:
        if (run / "run.json").exists():
            yield f"run.json: {error}"


def polled(run: Path) -> list[str]:
    """What a reader finds wrong with run.json at this moment."""
    return list(_broken_manifest(run)) if (run / "run.json").exists() else []


def _read(path: Path) -> None:
    """Read a file whole by its kind; raises what that raises."""
    if path.suffix in (".ckpt", ".pt"):
        torch.load(path, weights_only=True)
    elif path.suffix == ".parquet":
        parquet.read_table(io.BytesIO(path.read_bytes()))
    elif path.suffix == ".jsonl":
        for line in path.read_text().splitlines():
            json.loads(line)
    elif path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix in (".csv", ".yaml") and not path.read_text().endswith("\n"):
        raise ValueError("it is cut short")


def _entries(folder: Path) -> list[Path]:
    return (
        [Path(each) for each in os.scandir(folder) if each.is_dir() and ".partial-" not in each.name]
        if folder.is_dir()
        else []
    )
