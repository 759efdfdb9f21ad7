"""What a Python program calls: run a recipe, go on with a run, and ask a run that is there."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import psutil
from rich.console import Console

from taskkit.contracts.facts import DataProblem, Severity
from taskkit.engine import build
from taskkit.engine.run import RUN_DIRECTORY, Run
from taskkit.errors import TaskkitError
from taskkit.loaded_run import LoadedRun
from taskkit.plugins.discovery import Plugins, from_environment
from taskkit.recipe import load as recipes
from taskkit.recipe.load import Resolved
from taskkit.runs import checkpoint
from taskkit.runs.record import Record, manifest, new_directory, write_atomically


def run(
    recipe: str | Path | Sequence[str | Path],
    overrides: Sequence[str] = (),
    *,
    out: str | Path | None = None,
    plugins: Plugins | None = None,
    console: Console | None = None,
) -> LoadedRun:
    """Check, prepare, train and test a recipe, with overlays and `key=value` overrides, and return its run.

    `out` is the run directory itself, new or empty. Raises RecipeError with everything that is wrong with the recipe,
    SourceError or DataError when the data cannot be had or used, RunFailedError when training failed.
    """
    plugins = plugins or from_environment()
    files = [recipe] if isinstance(recipe, str | Path) else list(recipe)
    resolved = recipes.load(files, list(overrides), plugins)
    return start(resolved, plugins, Path(out) if out is not None else None, console or Console())


def start(resolved: Resolved, plugins: Plugins, out: Path | None, console: Console) -> LoadedRun:
    """Begin a run of a recipe that was loaded."""
    if not is_primary():
        directory, record = _shared_directory(out), None
    else:
        directory = new_directory(out, Path(resolved.files[0]).stem)
        record = Record.create(directory, _manifest(resolved))
        write_atomically(directory / "recipe.yaml", resolved.to_yaml())
    return _execute(Run(resolved.recipe, resolved.plain(), plugins, directory, record, console))


def resume(path: str | Path, *, plugins: Plugins | None = None, console: Console | None = None) -> LoadedRun:
    """Go on with a run where its last checkpoint was written; a finished run is returned as it is.

    Raises CheckpointError when there is no run, or it is still going on.
    """
    plugins, console, directory = plugins or from_environment(), console or Console(), Path(path)
    record = Record.open(directory)
    if record.manifest["status"] == "finished":
        console.print(f"{directory} is finished: there is nothing to go on with.", highlight=False, soft_wrap=True)
        return LoadedRun(directory, plugins)
    primary = is_primary()
    if primary:
        _refuse_running(record)
    last = directory / "checkpoints" / "last.ckpt"
    if not last.exists():
        resolved = recipes.load([directory / "recipe.yaml"], [], plugins)
        recipe, plain, step = resolved.recipe, resolved.plain(), -1
    else:
        saved = checkpoint.read(last)
        recipe, plain, step = recipes.from_plain(saved.recipe, plugins), saved.recipe, saved.step
    if primary:
        record.forget_after(step)
        record.update(status="running", reason=None, ended=None, process=_process())
    this = Run(recipe, plain, plugins, directory, record if primary else None, console)
    this.say(f"Going on with {directory} from step {max(step, 0)}.")
    return _execute(this, last if last.exists() else None)


def inspect(resolved: Resolved, plugins: Plugins) -> list[DataProblem]:
    """Prepare a recipe's data and return what their module finds wrong with them, errors first."""
    data = build.data_module(resolved.recipe, plugins)
    build.prepare(data, resolved.recipe, plugins)
    return sorted(data.inspect(), key=lambda problem: get_args(Severity).index(problem.severity))


def unfinished(resolved: Resolved) -> Path | None:
    """The newest run of the same resolved recipe under runs/ that did not finish, if there is one."""
    for path in sorted(Path("runs", Path(resolved.files[0]).stem).glob("*/run.json"), reverse=True):
        found = manifest(path.parent)
        if found["status"] != "finished" and found["resolved"] == json.loads(json.dumps(resolved.plain())):
            return path.parent
    return None


def _execute(this: Run, last: Path | None = None) -> LoadedRun:
    with _directory_for_children(this.directory):
        this.execute(last)
    return LoadedRun(this.directory, this.plugins)


@contextmanager
def _directory_for_children(directory: Path) -> Iterator[None]:
    before = os.environ.get(RUN_DIRECTORY)
    os.environ[RUN_DIRECTORY] = str(directory.resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ[RUN_DIRECTORY]
        else:
            os.environ[RUN_DIRECTORY] = before


def is_primary() -> bool:
    """Whether this process is the first of a run's, by the variables that launchers set."""
    ranks = (os.environ.get(name) for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"))
    return int(next((rank for rank in ranks if rank is not None), "0")) == 0


def _shared_directory(out: Path | None) -> Path:
    """Where the run is that the first of its processes began; raises TaskkitError when nothing says it."""
    named = os.environ.get(RUN_DIRECTORY, out)
    if named is None:
        raise TaskkitError(
            "This is not the first process of its run, and nothing says where that is. "
            "Processes that a launcher starts need the same --out DIR."
        )
    return Path(named)


def _manifest(resolved: Resolved) -> dict[str, Any]:
    return {
        "command": shlex.join(sys.argv),
        "recipe": {
            "path": [str(path) for path in resolved.files],
            "title": resolved.recipe.title,
            "sha256": resolved.sha256,
        },
        "resolved": resolved.plain(),
        "seed": resolved.recipe.seed,
        "process": _process(),
        "metrics": {},
    }


def _process() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "began": psutil.Process().create_time()}


def _refuse_running(record: Record) -> None:
    process = record.manifest.get("process") or {}
    if record.manifest["status"] != "running" or process.get("host") != socket.gethostname():
        return
    try:
        alive = psutil.Process(process["pid"]).create_time() == process["began"]
    except psutil.NoSuchProcess:
        return
    if alive and process["pid"] != os.getpid():
        raise TaskkitError(f"{record.path}: this run is still going on, as process {process['pid']}. Stop that first.")
