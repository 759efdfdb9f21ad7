"""Going on with a run: from where, with what changed, and whether there is any use in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from taskkit.contracts.recipe import Recipe
from taskkit.engine.resuming import Begun
from taskkit.errors import PASSING, CheckpointError, RunFailedError, TaskkitError
from taskkit.plugins.registry import Plugins
from taskkit.recipe import load as recipes
from taskkit.recipe import rules
from taskkit.runs import checkpoint
from taskkit.runs.manifest import Attempts, Change, Manifest
from taskkit.runs.record import now, write_file
from taskkit.wording import quoted

CHANGEABLE = (
    "optim.lr",
    "trainer.gradient_clip_val",
    "trainer.gradient_clip_algorithm",
    "trainer.precision",
    "trainer.detect_anomaly",
)
"""What keeps numbers finite, and leaves a run the same in all else."""
PLACES = ("trainer.devices", "trainer.num_nodes", "trainer.accelerator", "trainer.strategy")
"""What says by which processes a run is trained, and leaves it the same."""
SHARED = ("loader.batch_size", "loader.budget")
"""What each of these has of a batch, which follows from their number."""
STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_true", "fsdp")
"""Those that go on from each other's checkpoints."""
MOST_ATTEMPTS = 5
"""Times that a run is taken up by itself at one step."""


@dataclass(frozen=True)
class GoingOn:
    """Where a run goes on, and how."""

    directory: Path
    recipe: Recipe
    begun: Begun | None
    """What it was at its last checkpoint; None: none was written, and it begins anew."""
    changes: tuple[Change, ...] = ()
    """All since it began."""
    attempts: Attempts | None = None

    @property
    def step(self) -> int:
        """After which it goes on."""
        return 0 if self.begun is None else self.begun.saved.step

    @property
    def lines(self) -> int:
        """How many lines of metrics are kept."""
        return 0 if self.begun is None else self.begun.saved.lines or 0


def going_on(directory: Path, found: Manifest, plugins: Plugins) -> GoingOn:
    """Where a run goes on, with all that was changed since it began.

    Raises CheckpointError for a checkpoint that is damaged, or that an older taskkit wrote.
    """
    return _from(directory / "checkpoints" / "last.ckpt", directory, found, plugins)


def _from(last: Path, directory: Path, found: Manifest, plugins: Plugins) -> GoingOn:
    changed = [word for change in found.changes for word in _words(change.values)]
    if not last.exists():
        return GoingOn(directory, recipes.from_plain(found.resolved, plugins, changed), None, found.changes)
    saved = checkpoint.read(last)
    if saved.format != checkpoint.FORMAT or saved.lines is None:
        raise CheckpointError(
            f"{last}: it was written by an older taskkit, which can be asked and judged but not gone on with. Run "
            f"{directory}/recipe.yaml again, or go on with the taskkit version that wrote it."
        )
    before = recipes.from_plain(saved.recipe, plugins)
    sizes = found.data.sizes if found.data is not None else {}
    begun = Begun(saved, before.optim, before.loader, sizes, found.environment.get("threads"))
    return GoingOn(directory, recipes.from_plain(saved.recipe, plugins, changed), begun, found.changes)


def from_good(going: GoingOn, found: Manifest, words: Sequence[str], plugins: Plugins) -> GoingOn:
    """The same with what keeps its numbers finite changed; without words the learning rate is halved.

    Where that was done at this step before, and in vain, it goes on from the best checkpoint.

    Raises TaskkitError for a run that ended otherwise, or that has no checkpoint, and for other changes.
    """
    directory, begun = going.directory, going.begun
    if found.failure != "numbers":
        raise TaskkitError(
            f"--from-good: {directory} is {found.status}, and not since its numbers were no longer finite. Such a run "
            f"was expected; others go on as they began: taskkit run --resume {quoted(directory)}"
        )
    if begun is None:
        raise TaskkitError(
            f"--from-good: {directory} has no checkpoint from before its numbers were no longer finite. Begin again: "
            f"taskkit run {quoted(directory)}/recipe.yaml optim.lr={going.recipe.optim.lr / 2:g}"
        )
    going = _further_back(going, found, plugins)
    words = list(words) or [f"optim.lr={going.recipe.optim.lr / 2:g}"]
    for word in words:
        if word.partition("=")[0] not in CHANGEABLE:
            raise TaskkitError(
                f"--from-good: {word!r} would make another run of it. A change of {', '.join(CHANGEABLE)} was "
                f"expected. For anything else begin again: taskkit run {quoted(directory)}/recipe.yaml {word}"
            )
    recipe = recipes.from_plain(going.recipe.plain(), plugins, words)
    before, after = _values(going.recipe, CHANGEABLE), _values(recipe, CHANGEABLE)
    values = {key: after[key] for key in CHANGEABLE if after[key] != before[key]}
    if not values:
        raise TaskkitError(
            f"--from-good: {' '.join(words)} is what this run has already, so the same numbers would come again. "
            f"Another value was expected, such as optim.lr={going.recipe.optim.lr / 2:g}."
        )
    return replace(going, recipe=recipe, changes=(*going.changes, Change(going.step, now(), values)))


def elsewhere(going: GoingOn, words: Sequence[str], plugins: Plugins) -> GoingOn:
    """The same by other processes, each of which has as much of a batch as makes the same batches.

    Raises TaskkitError for other changes, and for processes that cannot share the batches.
    """
    directory, begun = going.directory, going.begun
    for word in words:
        if word.partition("=")[0] not in PLACES:
            raise TaskkitError(
                f"--resume: {word!r} would make another run of it. A change of {', '.join(PLACES)} was expected. For "
                f"anything else begin again: taskkit run {quoted(directory)}/recipe.yaml {word}"
            )
    if begun is None:
        raise TaskkitError(
            f"--resume: {directory} has no checkpoint, so that it begins anew. Begin it as you want it: taskkit run "
            f"{quoted(directory)}/recipe.yaml {' '.join(words)}"
        )
    placed = recipes.from_plain(going.recipe.plain(), plugins, words)
    _check_placed(placed)
    trainer, loader, before = placed.trainer, placed.loader, begun.saved.processes
    assert isinstance(trainer.devices, int)
    processes, whole = trainer.devices * trainer.num_nodes, begun.loader.batch_size * before
    if whole % processes:
        raise TaskkitError(
            f"--resume: the {before} processes of {directory} took {whole} samples at a time, which {processes} cannot "
            f"share alike. A number that divides {whole} was expected for trainer.devices times trainer.num_nodes."
        )
    budget = loader.budget and begun.loader.budget and begun.loader.budget * before / processes
    shares = [f"loader.batch_size={whole // processes}", f"loader.budget={json.dumps(budget)}"]
    recipe = recipes.from_plain(going.recipe.plain(), plugins, [*words, *shares])
    was, will = _values(going.recipe, (*PLACES, *SHARED)), _values(recipe, (*PLACES, *SHARED))
    values = {key: value for key, value in will.items() if value != was[key]}
    if not values:
        return going
    return replace(going, recipe=recipe, changes=(*going.changes, Change(going.step, now(), values)))


def _check_placed(recipe: Recipe) -> None:
    """Raise TaskkitError for processes of which there is no number, or that do not go with the rest."""
    trainer = recipe.trainer
    if trainer.devices == "auto":
        raise TaskkitError("--resume: trainer.devices is auto. A number was expected, of which each shares a batch.")
    if trainer.strategy not in STRATEGIES:
        raise TaskkitError(
            f"--resume: trainer.strategy is {trainer.strategy}. One of {', '.join(STRATEGIES)} was expected, which go "
            "on from each other's checkpoints."
        )
    for message in rules.placement_problems(recipe):
        raise TaskkitError(f"--resume: {message}")


def _further_back(going: GoingOn, found: Manifest, plugins: Plugins) -> GoingOn:
    """The same from the best checkpoint, where a change after the last one was in vain and the best is an older one.

    Weights may have grown beyond help while they were finite. The best takes the place of the last, so that the run
    goes on from there whatever happens next.
    """
    folder = going.directory / "checkpoints"
    best, last = folder / "best.ckpt", folder / "last.ckpt"
    tried = [change.step for change in found.changes if set(change.values) & set(CHANGEABLE)]
    if going.step not in tried or not best.exists():
        return going
    older = _from(best, going.directory, found, plugins)
    if older.step >= going.step:
        return going
    with write_file(last) as beside:
        shutil.copyfile(best, beside)
    return going_on(going.directory, found, plugins)


def taken_up(going: GoingOn, found: Manifest) -> GoingOn:
    """The same for a run that nobody looked at; raises TaskkitError, with the exit code of what ended it, in vain.

    What happened to the machine, or to a source, may be over; all else would come again. Even of the former no more
    than so many attempts are made that do not get further.
    """
    run = f"taskkit run --resume {quoted(going.directory)}"
    if found.failure is not None and found.failure not in PASSING:
        mended = "" if found.failure == "numbers" else f" Once that is mended: {run}"
        raise _refused(
            found,
            f"{going.directory} failed by what would come again, so it is not gone on with by itself: {found.reason}"
            f"{mended}",
        )
    if found.status == "preempted":
        return replace(going, attempts=found.attempts)
    past = found.attempts.count if found.attempts is not None and found.attempts.step == going.step else 0
    if past >= MOST_ATTEMPTS:
        ended = found.reason or "Its process was killed each time, as by the system where memory is full."
        raise _refused(
            found,
            f"{going.directory} was gone on with {past} times from step {going.step} and got no further, and is not "
            f"again by itself: {ended} Once that is mended: {run}",
        )
    return replace(going, attempts=Attempts(going.step, past + 1))


def _refused(found: Manifest, message: str) -> TaskkitError:
    return TaskkitError(message) if found.failure in ("input", "source") else RunFailedError(message)


def _values(recipe: Recipe, keys: Sequence[str]) -> dict[str, Any]:
    plain = recipe.plain()
    return {key: plain[key.partition(".")[0]][key.partition(".")[2]] for key in keys}


def _words(values: Mapping[str, Any]) -> list[str]:
    return [f"{key}={json.dumps(value)}" for key, value in values.items()]
