"""Compress a run: the door of this room. What comes of it is a run directory, judged like any other."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from taskkit.api import start
from taskkit.compare.comparison import Comparison, compare
from taskkit.compression.prune import prune
from taskkit.contracts.data import Stream
from taskkit.engine import build
from taskkit.engine.checkpoint_file import CheckpointFile
from taskkit.engine.ending import end
from taskkit.engine.inference import measure
from taskkit.engine.launch import is_primary
from taskkit.engine.loaders import encoded_split, for_judging
from taskkit.engine.quantise import layers_of, weight_bytes
from taskkit.engine.trainer import quiet
from taskkit.errors import TaskkitError
from taskkit.loaded_run import LoadedRun, load_run
from taskkit.recipe import load as recipes
from taskkit.runs import checkpoint as runs_checkpoint
from taskkit.runs.manifest import Compressed, Inference, Manifest
from taskkit.runs.record import RECIPE, Record, check_unused, write_file


@dataclass(frozen=True)
class Quantise:
    """Hold the weights of linear layers in `int8`, `int4` or `fp8`."""

    form: str

    def settings(self) -> Mapping[str, Any]:
        """What decides the result."""
        return {"quantise": self.form}


@dataclass(frozen=True)
class Prune:
    """Leave out a share of the weights, from 0 to 1, one by one or whole rows and channels."""

    share: float
    structured: bool = False

    def settings(self) -> Mapping[str, Any]:
        """What decides the result."""
        return {"prune": self.share, "structured": self.structured}


@dataclass(frozen=True)
class Result:
    """A compressed run beside its parent."""

    run: LoadedRun
    compared: Comparison


def distil(parent: LoadedRun, words: Sequence[str], out: Path, console: Console) -> Result | None:
    """Train a smaller network on a run's answers, and compare the two on the same examples.

    None: this process is not the first of the run's.

    `words` are the student's recipe files and `key=value` changes, as `taskkit run` takes them. It is a run like any
    other: where it is stopped, `taskkit run --resume` goes on with it. Raises TaskkitError for a parent that was not
    tested, RecipeError for the recipe, and what a run raises.
    """
    _check_tested(parent)
    check_unused(out)
    files, changes = recipes.split(words)
    resolved = recipes.load(files, [*changes, f"distil.teacher={json.dumps(str(parent.path))}"], parent.plugins)
    section = resolved.recipe.distil
    assert section is not None
    settings = {"distil": {"temperature": section.temperature, "alpha": section.alpha}}
    held = weight_bytes(parent.built.network)
    # Before it begins, so that who stops it and goes on with it ends with the same run.
    made = Compressed(_parent(parent, out), settings, held, inference_before=_measured(parent))
    start(resolved, parent.plugins, out, console, compressed=made)
    if not is_primary():
        return None
    compared = compare([str(parent.path), str(out)], parent.plugins.components)
    return Result(load_run(out, plugins=parent.plugins), compared)


def compress(parent: LoadedRun, how: Quantise | Prune, out: Path) -> Result:
    """Make a run of another with a smaller network, test it, and compare the two on the same examples.

    Raises TaskkitError for a parent that is encrypted, was not tested or is quantised already, and for what cannot be
    done with its network or on this machine.
    """
    _check(parent, how)
    check_unused(out)
    before, held = _measured(parent), weight_bytes(parent.built.network)
    settings = dict(how.settings())
    checkpoint = runs_checkpoint.load_safely(parent.checkpoint)
    kept = {name: checkpoint[name] for name in (runs_checkpoint.KEY, "state_dict", "global_step", "epoch")}
    if isinstance(how, Prune):
        # Another than the parent's own, which can be asked afterwards.
        task = load_run(parent.path, plugins=parent.plugins).built.task
        settings["zeros"] = round(prune(task.network, how.share, structured=how.structured), 6)
        kept["state_dict"] = {f"{runs_checkpoint.TASK}{name}": value for name, value in task.state_dict().items()}
        kept[runs_checkpoint.KEY] = {**kept[runs_checkpoint.KEY], "format": runs_checkpoint.FORMAT}
    else:
        layers_of(parent.built.network, how.form)
    record = Record.create(out, _manifest(parent, out, settings), parent.read(RECIPE).decode())
    try:
        _keep(record, kept, parent.checkpoint.with_name(runs_checkpoint.CONCLUSION))
        _test(record, parent, Compressed(_parent(parent, out), settings, held, None, before))
    except BaseException as error:
        end(record, "failed", f"{type(error).__name__}: {error}")
        raise
    compared = compare([str(parent.path), str(out)], parent.plugins.components)
    return Result(load_run(out, plugins=parent.plugins), compared)


def _keep(record: Record, checkpoint: Mapping[str, Any], conclusion: Path) -> None:
    """Keep the weights, in single precision, and what was concluded after training."""
    with write_file(record.path / "checkpoints" / "best.ckpt") as path:
        CheckpointFile().save_checkpoint(dict(checkpoint), path)
    if conclusion.exists():
        (record.path / "checkpoints" / conclusion.name).write_bytes(conclusion.read_bytes())


def _test(record: Record, parent: LoadedRun, made: Compressed) -> None:
    """Read the run back, as anybody will, and record what its test gives."""
    run = load_run(record.path, plugins=parent.plugins)
    after, tested = _measured(run), run.evaluate("test")
    record.rows("predictions", tested.rows)
    for name, table in run.built.task.tables(tested.results).items():
        record.table(name, table)
    record.update(
        metrics=tested.metrics,
        intervals=tested.intervals,
        checkpoints={"best": "checkpoints/best.ckpt"},
        cost=replace(parent.manifest.cost, inference=after),
        compressed=replace(made, bytes_after=weight_bytes(run.built.network), inference_after=after),
    )
    record.end("finished")


def _check(parent: LoadedRun, how: Quantise | Prune) -> None:
    said = parent.manifest
    if said.resolved.get("privacy", {}).get("encrypt"):
        raise TaskkitError(f"{parent.path}: it is encrypted, and what compress writes would not be. Compress another.")
    _check_tested(parent)
    if said.compressed is not None and "quantise" in said.compressed.settings:
        raise TaskkitError(
            f"{parent.path}: it is quantised already. Compress its parent: {said.compressed.where(parent.path)}"
        )
    if isinstance(how, Prune) and not 0 < how.share < 1:
        raise TaskkitError(f"--prune {how.share:g}: a share between 0 and 1 was expected, such as 0.5.")


def _check_tested(parent: LoadedRun) -> None:
    said = parent.manifest
    if said.protocol is None or not said.metrics:
        raise TaskkitError(f"{parent.path}: it was never tested ({said.status}), so that nothing could be compared.")


def _parent(parent: LoadedRun, out: Path) -> str:
    return os.path.relpath(parent.path.resolve(), out.resolve())


def _manifest(parent: LoadedRun, out: Path, settings: Mapping[str, Any]) -> Manifest:
    said = parent.manifest
    return replace(
        said,
        id=out.name,
        status="running",
        process=None,
        ended=None,
        metrics={},
        intervals={},
        remarks=(),
        checkpoints={},
        compressed=Compressed(_parent(parent, out), settings),
    )


def _measured(run: LoadedRun) -> Inference:
    """How fast the run answers here and now."""
    built, answerer = run.built, run.answerer
    with quiet():
        prepared = build.prepare(build.data_module(built.recipe), built.recipe)
        examples = prepared.examples("test")
        if isinstance(examples, Stream):
            raise TaskkitError(f"{run.path}: its test examples are a stream, all of which nobody can judge.")
        loader = for_judging(built, encoded_split(examples, built, "test"), resident="no", workers=0)
        return measure(built, loader, examples, answerer.device, answerer.autocast)
