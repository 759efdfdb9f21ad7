"""What a Python program calls: run a recipe, go on with a run, and ask a run that is there."""

from __future__ import annotations

import json
import logging
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import pytorch_lightning as pl
from rich.console import Console

from taskkit.contracts.data import Stream
from taskkit.contracts.facts import DataProblem, Severity
from taskkit.contracts.recipe import Recipe
from taskkit.data.quality import find_missing_splits, split_sizes
from taskkit.engine import again, build, sharded
from taskkit.engine.again import GoingOn
from taskkit.engine.guard import calling
from taskkit.engine.launch import directory_for_children, is_primary, shared_directory
from taskkit.engine.resuming import Begun
from taskkit.engine.run import Run
from taskkit.engine.trainer import check_place
from taskkit.errors import CheckpointError, TaskkitError
from taskkit.loaded_run import LoadedRun
from taskkit.plugins.compatibility import imported
from taskkit.plugins.discovery import from_environment
from taskkit.plugins.registry import Plugins
from taskkit.recipe import load as recipes
from taskkit.recipe.load import Resolved
from taskkit.runs import manifest, since
from taskkit.runs.encryption import EncryptionKey
from taskkit.runs.manifest import Compressed, Manifest, Process, RecipeFiles
from taskkit.runs.record import Record, check_unused, locked, new_directory, run_label
from taskkit.shards.index import Index
from taskkit.shards.write import Progress
from taskkit.wording import quoted

log = logging.getLogger("taskkit")


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


def start(
    resolved: Resolved,
    plugins: Plugins,
    out: Path | None,
    console: Console,
    *,
    callbacks: Sequence[pl.Callback] = (),
    compressed: Compressed | None = None,
) -> LoadedRun:
    """Begin a run of a recipe that was loaded; `callbacks` watch it.

    `compressed` says what it is a smaller network of; the run adds what it measures of itself.
    """
    check_place(resolved.recipe.trainer)
    key = EncryptionKey.of(resolved.recipe.privacy)
    if not is_primary():
        return _execute(Run(resolved.recipe, plugins, shared_directory(out), None, console, key, callbacks))
    directory = new_directory(out, Path(resolved.files[0]).stem, run_label(resolved.recipe.seed, resolved.changes))
    with locked(directory):
        # Again, since another process may have begun a run here meanwhile.
        check_unused(directory)
        record = Record.create(directory, _manifest(resolved, directory, compressed), resolved.to_yaml(), key)
        return _execute(Run(resolved.recipe, plugins, directory, record, console, key, callbacks))


def resume(
    path: str | Path,
    *,
    from_good: Sequence[str] | None = None,
    elsewhere: Sequence[str] = (),
    plugins: Plugins | None = None,
    console: Console | None = None,
) -> LoadedRun:
    """Go on with a run where its last checkpoint was written; a finished run is returned as it is.

    `elsewhere`, `key=value` changes such as `trainer.devices=1`, lets other processes go on with the same batches.
    `from_good`, `key=value` changes of what keeps numbers finite, is for a run that ended since they were not; without
    any the learning rate is halved. Raises CheckpointError when there is no run, TaskkitError when it is still going on
    or may not be changed so, and DataError when its data are others now.
    """
    return _resume(Path(path), plugins or from_environment(), console or Console(), from_good, elsewhere)


def resume_by_itself(path: Path, plugins: Plugins, console: Console) -> LoadedRun:
    """Go on with a run that nobody looked at; raises TaskkitError where it would only end again as it did.

    The error has the exit code of what ended it.
    """
    return _resume(path, plugins, console, None, (), by_itself=True)


def _resume(
    directory: Path,
    plugins: Plugins,
    console: Console,
    from_good: Sequence[str] | None,
    elsewhere: Sequence[str],
    *,
    by_itself: bool = False,
) -> LoadedRun:
    found = manifest.read(directory)
    if found.status == "finished":
        if from_good is not None:
            raise TaskkitError(f"--from-good: {directory} is finished: there is nothing to go on with.")
        console.print(f"{directory} is finished: there is nothing to go on with.", highlight=False, soft_wrap=True)
        return LoadedRun(directory, found, plugins)
    if not is_primary():
        # The first process has written down what is changed.
        going = again.going_on(directory, found, plugins)
        key = EncryptionKey.of(going.recipe.privacy)
        return _go_on(going, Record(directory, found, key), plugins, console, primary=False)
    with locked(directory):
        found = manifest.read(directory)
        since.check_plugins(directory, found, plugins)
        going = again.going_on(directory, found, plugins)
        if by_itself:
            going = again.taken_up(going, found)
        if from_good is not None:
            going = again.from_good(going, found, from_good, plugins)
        if elsewhere:
            going = again.elsewhere(going, elsewhere, plugins)
        record = Record(directory, found, EncryptionKey.of(going.recipe.privacy))
        return _go_on(going, record, plugins, console, primary=True)


def _go_on(going: GoingOn, record: Record, plugins: Plugins, console: Console, *, primary: bool) -> LoadedRun:
    directory = record.path
    check_place(going.recipe.trainer)
    if primary:
        (directory / "checkpoints").mkdir(exist_ok=True)
        record.keep_lines(going.lines)
        record.update(
            status="running",
            reason=None,
            failure=None,
            ended=None,
            process=Process.here(),
            changes=going.changes,
            attempts=going.attempts,
        )
    this = Run(going.recipe, plugins, directory, record if primary else None, console, record.key)
    changed = "".join(f", {name}={value}" for each in going.changes[-1:] for name, value in each.values.items())
    this.output(f"Going on with {directory} from step {going.step}{changed}.")
    return _execute(this, going.begun)


def preload(recipe: Recipe) -> None:
    """Import the code of a recipe's components, which may take seconds; raises PluginError, which names the plugin."""
    for chosen in recipe.chosen().values():
        imported(chosen.component, chosen.component.implementation, chosen.plugin)


def inspect(resolved: Resolved) -> list[DataProblem]:
    """Prepare a recipe's data and return what they are and what their module finds wrong with them, errors first."""
    prepared = build.prepare(build.data_module(resolved.recipe), resolved.recipe)
    sizes = {split: None if isinstance(part, Stream) else len(part) for split, part in prepared.splits.items()}
    there = {split: size for split, size in sizes.items() if size != 0}
    problems = [split_sizes(there), *find_missing_splits(there)]
    with calling(resolved.recipe.data, "inspect"):
        problems += prepared.inspect()
    return sorted(problems, key=lambda problem: get_args(Severity).index(problem.severity))


def pack(resolved: Resolved, url: str, shard_size: int, progress: Progress) -> Index:
    """Write the raw examples of a recipe's data into shards at a folder or a URL.

    Raises SourceError or DataError when the data cannot be had or kept, or the place cannot be used.
    """
    recipe = resolved.recipe
    prepared = build.fetched(build.data_module(recipe), recipe)
    return sharded.pack(recipe, prepared, build.judged_by(recipe), url, shard_size, progress)


def begun_before(resolved: Resolved, out: Path | None) -> Path | None:
    """The run of the same resolved recipe that is to be gone on with, if there is one.

    It is the one in `out`, also where it is finished; without that the one under runs/ that began last of those that
    did not finish. A warning names each run there that cannot be read, and it is passed over. Raises TaskkitError where
    the run in `out` is of another recipe, and CheckpointError where it cannot be read.
    """
    plain = json.loads(json.dumps(resolved.plain()))
    if out is not None:
        return _there(out, plain)
    # By what run.json says, in UTC: names have the local time, which goes back an hour once a year.
    found: list[tuple[str, Path]] = []
    for path in Path("runs", Path(resolved.files[0]).stem).glob("*/run.json"):
        try:
            each = manifest.read(path.parent)
        except CheckpointError as error:
            if is_primary():
                log.warning("--resume auto passes over a run: %s", error)
            continue
        if each.status != "finished" and each.resolved == plain:
            found.append((str(each.started or ""), path.parent))
    return max(found)[1] if found else None


def _there(out: Path, plain: Mapping[str, Any]) -> Path | None:
    """The run in a directory; None: there is none yet."""
    if not (out / manifest.FILE).exists():
        return None
    before = manifest.read(out)
    if before.resolved != plain:
        raise TaskkitError(
            f"--resume auto: the run in {out} is of another recipe ({out}/recipe.yaml). The same recipe with the same "
            f"changes was expected. Give another --out, or go on as it began: taskkit run --resume {quoted(out)}"
        )
    return out


def _execute(this: Run, begun: Begun | None = None) -> LoadedRun:
    with directory_for_children(this.directory):
        this.execute(begun)
    return LoadedRun(this.directory, manifest.read(this.directory), this.plugins)


def _manifest(resolved: Resolved, directory: Path, compressed: Compressed | None) -> Manifest:
    return Manifest(
        id=directory.name,
        status="running",
        command=shlex.join(sys.argv),
        recipe=RecipeFiles(tuple(map(str, resolved.files)), resolved.recipe.title, resolved.sha256),
        resolved=resolved.plain(),
        seed=resolved.recipe.seed,
        process=Process.here(),
        compressed=compressed,
    )
