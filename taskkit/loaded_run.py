"""A run directory as a program sees it: what it says of itself, and its task, to be asked and judged again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl

from taskkit.batches.loader import Placement
from taskkit.contracts.facts import Example, Prediction, Split
from taskkit.engine import build
from taskkit.engine.build import Built
from taskkit.engine.evaluate import Rows, predict, sequential
from taskkit.engine.meter import scalars
from taskkit.engine.run import encode, make_trainer, quiet, rows_of
from taskkit.errors import CheckpointError, DataError
from taskkit.plugins.discovery import Plugins, from_environment
from taskkit.recipe import load as recipes
from taskkit.recipe import options
from taskkit.runs import checkpoint
from taskkit.runs.record import manifest


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
