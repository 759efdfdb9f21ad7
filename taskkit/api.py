"""What a Python program calls: run a recipe, go on with a run, and ask a run that is there."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import psutil
import pytorch_lightning as pl
from rich.console import Console

from taskkit import build, checkpoint, options
from taskkit import recipe as recipes
from taskkit.build import Built
from taskkit.errors import CheckpointError, DataError, TaskkitError
from taskkit.evaluate import Rows, predict, sequential
from taskkit.loader import Placement
from taskkit.meter import scalars
from taskkit.plugins import Plugins, from_environment
from taskkit.recipe import Resolved
from taskkit.record import Record, manifest, new_directory, write_atomically
from taskkit.spec import DataProblem, Example, Prediction, Severity, Split
from taskkit.training import RUN_DIRECTORY, Run, encode, make_trainer, quiet, rows_of


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


def load_run(path: str | Path, *, plugins: Plugins | None = None) -> LoadedRun:
    """Open a run directory; raises CheckpointError when it is none of ours."""
    loaded = LoadedRun(Path(path), plugins or from_environment())
    _ = loaded.manifest
    return loaded


class LoadedRun:
    """A run directory: what it says of itself, and its task, rebuilt from the best checkpoint when it is asked."""

    def __init__(self, path: Path, plugins: Plugins) -> None:
        self.path = path
        self.plugins = plugins

    def __repr__(self) -> str:
        return f"<run {self.path}: {self.manifest['status']}, {self.metrics}>"

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What run.json says."""
        return manifest(self.path)

    @property
    def status(self) -> str:
        """`running`, `finished`, `failed` or `preempted`."""
        status: str = self.manifest["status"]
        return status

    @property
    def metrics(self) -> dict[str, float]:
        """The test metrics by name."""
        return dict(self.manifest.get("metrics") or {})

    def history(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl: one per drain and per validation."""
        return [json.loads(line) for line in (self.path / "metrics.jsonl").read_text().splitlines()]

    def predictions(self) -> Any:
        """A pyarrow.Table of one row per test example: id, target, prediction and scores."""
        from pyarrow import parquet

        return parquet.read_table(self.path / "predictions.parquet")

    @cached_property
    def checkpoint(self) -> Path:
        """The best checkpoint, or the last where none is best; raises CheckpointError when there is none."""
        for name in ("best.ckpt", "last.ckpt"):
            if (path := self.path / "checkpoints" / name).exists():
                return path
        raise CheckpointError(
            f"{self.path}: no checkpoint was written before the run ended ({self.status}). "
            f"Go on with it first: taskkit run --resume {self.path}"
        )

    @cached_property
    def built(self) -> Built:
        """The task with its network and processor, rebuilt from the checkpoint alone."""
        return build.rebuild(checkpoint.read(self.checkpoint), self.plugins)

    def predict(self, inputs: Sequence[str] = (), **asked: Any) -> list[Prediction]:
        """Predict for paths or texts, as the model's processor reads them; a table gives one prediction for each row.

        `input` in each prediction is what a person calls it. The options that a run takes are those that its processor
        and its task declare, as `column="text"` or `top=3`; some, as `user="42"`, need no input. Raises DataError when
        an input cannot be read, and TaskkitError for an option that is none.
        """
        requested, processor = self.requested(**asked), self.built.processor
        read = [*requested, *(example for source in inputs for example in processor.read(source))]
        # The same input may be given twice; ids are unique.
        examples = [replace(example, id=f"{n}: {example.id}") for n, example in enumerate(read, 1)]
        with quiet():
            answers = predict(self.built.task, examples, self._trainer([]))
        return [{"input": example.id, **answer} for example, answer in zip(read, answers, strict=True)]

    def requested(self, **asked: Any) -> Sequence[Example]:
        """The examples that options alone name, as `user="42"`; raises TaskkitError for an option that is none."""
        processor, task = self.built.processor, self.built.task
        processor.asked, task.asked = options.fill(asked, self.predict_options)
        return processor.requested()

    @property
    def predict_options(self) -> tuple[type, type]:
        """The dataclasses of what `predict` takes beside inputs: the processor's and the task's."""
        return self.built.processor.predict_options, self.built.task.predict_options

    def evaluate(self, split: Split = "test", overrides: Sequence[str] = ()) -> Evaluation:
        """Score the best checkpoint on a split of the run's data, or of others that `data.…` overrides name.

        Raises DataError when the split is empty or its facts are not those that the run was trained for.
        """
        saved = checkpoint.read(self.checkpoint)
        recipe = recipes.from_plain(saved.recipe, self.plugins, overrides)
        built = self.built
        with quiet():
            data = build.data_module(recipe, self.plugins)
            spec = build.prepare(data, recipe, self.plugins)
            if not spec.target.agrees(built.spec.target):
                raise DataError(
                    f"{recipe.data_name}: these data state {spec.target}; the run was trained for "
                    f"{built.spec.target}. Give data with the same targets."
                )
            examples = data.examples(split)
            if len(examples) == 0:
                raise DataError(f"{recipe.data_name}: its {split} split is empty. Name another with --split.")
            encoded = encode(examples, replace(built, spec=spec), split, recipe.plain()["model"], recipe.loader.cache)
            size = recipe.loader.eval_batch_size or recipe.loader.batch_size
            loader = sequential(encoded, built.processor, size, recipe.loader.budget, workers=recipe.loader.workers)
            trainer = self._trainer([Placement([loader]), Rows(examples, spec)])
            trainer.test(built.task, loader, verbose=False)
        results = built.task.results["test"]
        values = {f"{split}/{name}": value for name, value in scalars(results).items()}
        protocol = {"task_protocol": dict(built.task.protocol()), "data_protocol": dict(spec.protocol)}
        return Evaluation(values, rows_of(trainer), protocol)

    def _trainer(self, callbacks: list[pl.Callback]) -> pl.Trainer:
        """One device, here: the machine that a run is asked on need not be like the one that trained it."""
        recipe = self.built.recipe
        accelerator: Literal["cpu", "auto"] = "cpu" if recipe.trainer.accelerator == "cpu" else "auto"
        alone = replace(recipe.trainer, accelerator=accelerator, devices=1, num_nodes=1, strategy="auto")
        return make_trainer(replace(recipe, trainer=replace(alone, limit_test_batches=1.0)), callbacks)


class Evaluation:
    """What judging a run on a split gave: metrics by name, one row per example, and what decides the metrics."""

    def __init__(
        self, metrics: Mapping[str, float], rows: Sequence[Mapping[str, Any]], protocol: Mapping[str, Any]
    ) -> None:
        self.metrics = metrics
        self.rows = rows
        self.protocol = protocol


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
