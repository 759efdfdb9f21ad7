"""What is on the disk of a study's cells: how far each run is, and how it ended."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from taskkit.errors import PASSING, CheckpointError, TaskkitError
from taskkit.runs import manifest
from taskkit.runs.manifest import FILE, Manifest
from taskkit.runs.study import CellRecord
from taskkit.study.plan import Cell

LAST_LINES = 3
"""Lines of what a process said that tell why no run began."""
TAIL_BYTES = 4096


def output_of(study: Path, cell: Cell) -> Path:
    """Where what the process of a cell prints is kept."""
    run = study / cell.name
    return run.with_name(f"{run.name}.txt")


def found(study: Path, cell: Cell) -> Manifest | None:
    """The manifest of a cell's run; None: it did not begin.

    Raises TaskkitError for a run of another recipe, and CheckpointError for one that cannot be read.
    """
    run = study / cell.name
    if not (run / FILE).exists():
        return None
    said = manifest.read(run)
    if _but_for_title(said.resolved) != _but_for_title(cell.plain):
        raise TaskkitError(
            f"{run}: this run is of another recipe than the study now says. Name another directory with --out, or move "
            "this one away."
        )
    return said


def _but_for_title(resolved: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resolved.items() if key != "title"}


def recorded(study: Path, cell: Cell) -> CellRecord:
    """What is known of a cell whose process does not go on."""
    record = CellRecord(cell.name, cell.recipe, cell.values)
    said = found(study, cell)
    if said is None:
        return record
    metric = said.protocol.headline[0] if said.protocol is not None else ""
    record = replace(record, metric=metric, score=said.metrics.get(f"test/{metric}"), seconds=said.cost.train_seconds)
    if said.status == "running":
        return replace(record, status="stopped", reason="its process was killed")
    if said.status == "preempted":
        return replace(record, status="stopped", reason=said.reason)
    return replace(record, status=said.status, reason=said.reason)


def comes_again(study: Path, cell: Cell) -> bool:
    """Whether a cell failed by what would come again, so that nothing is gained by going on with it."""
    said = found(study, cell)
    return said is not None and said.status == "failed" and said.failure not in PASSING


def last_words(study: Path, cell: Cell) -> str:
    """The last lines that a cell's process printed."""
    try:
        text = output_of(study, cell).read_text(errors="replace")
    except OSError:
        return ""
    return " ".join(text.splitlines()[-LAST_LINES:])


def progress(study: Path, cell: Cell) -> str:
    """How far a run is, in words: its last line of metrics."""
    path = study / cell.name / "metrics.jsonl"
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").split("\n")[:-1]
    except OSError:
        return ""
    said = [line for text in lines if (line := _line(text))]
    if not said:
        return ""
    epochs = cell.resolved.recipe.trainer.max_epochs
    validated = next((line for line in reversed(said) if any(name.startswith("val/") for name in line)), {})
    scores = [f"{name} {value:.4f}" for name, value in validated.items() if name.startswith("val/")][:1]
    of = f"/{epochs}" if epochs else ""
    return "  ".join([f"step {said[-1]['step']}", f"epoch {said[-1]['epoch'] + 1}{of}", *scores])


def _line(text: str) -> dict[str, float]:
    try:
        line = json.loads(text)
    except ValueError:
        return {}
    return line if isinstance(line, dict) and {"step", "epoch"} <= line.keys() else {}


def lock_of(study: Path, cell: Cell) -> Path:
    """The file that whoever runs a cell holds by flock: what inherits it holds it for as long as it lives, also where
    the study that started it was killed."""
    run = study / cell.name
    run.parent.mkdir(parents=True, exist_ok=True)
    return run.with_name(f".{run.name}.lock")


def is_free(study: Path, cell: Cell) -> bool:
    """Whether nobody runs a cell, as far as this machine may know."""
    with lock_of(study, cell).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # some network file systems know no locks
            return True
    return True


def check(study: Path, cells: Sequence[Cell], known: Sequence[CellRecord]) -> None:
    """Raise TaskkitError where a study's directory holds what its file no longer says."""
    names = {cell.name for cell in cells}
    if gone := [each.name for each in known if each.name not in names]:
        some = ", ".join(gone[:3]) + (", …" if len(gone) > 3 else "")
        raise TaskkitError(
            f"{study}: it holds {len(gone)} run(s) that the study file no longer has: {some}. A file may grow, but "
            "what was run stays part of its study. Put them back, or name another directory with --out."
        )
    for cell in cells:
        try:
            found(study, cell)
        except CheckpointError as error:
            raise TaskkitError(f"{error} Move it away; it is run again.") from None
