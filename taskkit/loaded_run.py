"""A run directory as a program sees it: its record, and its task, to be asked and judged again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from typing_extensions import override

from taskkit.answering.answerer import Answerer
from taskkit.answering.asking import Asked
from taskkit.answering.network import NetworkAnswerer
from taskkit.answering.processes import Opening
from taskkit.contracts.data import Stream
from taskkit.contracts.facts import Split
from taskkit.contracts.recipe import TrainerSection
from taskkit.engine import build
from taskkit.engine.build import Built
from taskkit.engine.evaluate import Evaluation
from taskkit.engine.guard import blaming
from taskkit.engine.machine import in_words
from taskkit.engine.opening import checkpoint_of, opened
from taskkit.engine.placement import alone, check_devices, place, share
from taskkit.errors import CheckpointError, DataError
from taskkit.plugins.discovery import Again, from_environment
from taskkit.plugins.registry import Plugins
from taskkit.recipe import load as recipes
from taskkit.runs import checkpoint, history, manifest
from taskkit.runs.encryption import reading
from taskkit.runs.manifest import Manifest
from taskkit.runs.rows import read_rows


def load_run(path: str | Path, *, plugins: Plugins | None = None) -> LoadedRun:
    """Open a run directory; raises CheckpointError when it is none of ours."""
    path = Path(path)
    return LoadedRun(path, manifest.read(path), plugins or from_environment())


class LoadedRun(Asked):
    """A run directory: what it says of itself, and its task, rebuilt from the best checkpoint when it is asked."""

    def __init__(self, path: Path, manifest: Manifest, plugins: Plugins) -> None:
        self.path = path
        self.manifest = manifest
        """What run.json says."""
        self.plugins = plugins

    def __repr__(self) -> str:
        return f"<run {self.path}: {self.manifest.status}, {self.metrics}>"

    @property
    def status(self) -> str:
        """`running`, `finished`, `failed` or `preempted`."""
        return self.manifest.status

    @property
    def metrics(self) -> dict[str, float]:
        """The test metrics by name."""
        return dict(self.manifest.metrics)

    def history(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl: one per drain and per validation; raises CheckpointError for a damaged one."""
        return history.read(self.path)

    def predictions(self) -> Any:
        """A pyarrow.Table of one row per test example: id, target, prediction and scores."""
        return read_rows(self.path / "predictions.parquet")

    def read(self, name: str) -> bytes:
        """The bytes of a file of the run by its path in it, such as `classes.csv`, decrypted where it is encrypted.

        Raises CheckpointError where it is not there, and without its key.
        """
        try:
            with reading(self.path / name) as file:
                return file.read()
        except OSError as error:
            raise CheckpointError(f"{self.path / name}: it cannot be read ({error.strerror}).") from None

    @cached_property
    def checkpoint(self) -> Path:
        """The best checkpoint, or the last where none is best; raises CheckpointError when there is none."""
        return checkpoint_of(self.path, self.manifest)

    @cached_property
    def built(self) -> Built:
        """The task with its network and processor, rebuilt from the checkpoint alone."""
        return opened(self.path, self.manifest, self.plugins)

    @property
    @override
    def name(self) -> str:
        return self.manifest.id

    @property
    @override
    def identity(self) -> Mapping[str, Any]:
        stat = self.checkpoint.stat()
        return {"run": self.manifest.id, "checkpoint": [stat.st_size, stat.st_mtime_ns]}

    @property
    @override
    def workers(self) -> int:
        asked = self.built.recipe.loader.workers
        return super().workers if asked is None else asked

    @contextmanager
    @override
    def guarded(self) -> Iterator[None]:
        with in_words(), blaming(self.built.recipe.chosen().values()):
            yield

    @cached_property
    @override
    def answerer(self) -> NetworkAnswerer:
        """The run's task as what can be asked, on one device and in the precision that it was trained in."""
        return NetworkAnswerer(self.built, *place(self.built.recipe.trainer, self.built.task))

    @override
    def _elsewhere(self, devices: int) -> list[Opening]:
        trainer, plugins = self.built.recipe.trainer, Again.of(self.plugins)
        check_devices(trainer, devices)
        return [partial(_answerer, self.path, plugins, trainer, number, devices) for number in range(devices)]

    def evaluate(self, split: Split = "test", overrides: Sequence[str] = ()) -> Evaluation:
        """Score the best checkpoint on a split of the run's data, or of others that `data.…` overrides name.

        Its metrics are named as in `run.json`: `test/accuracy`. Predictions that are files stay `taskkit.Attachment`s
        in the rows. Raises DataError when the split is empty or its facts
        are not those that the run was trained for.
        """
        # Lightning takes longer to be imported than most answers: only judging needs it.
        from taskkit.engine.loaders import PlaceLoaders, encoded_split, for_judging
        from taskkit.engine.module import TaskModule
        from taskkit.engine.trainer import make_trainer, quiet

        built = self.built
        recipe = recipes.from_plain(checkpoint.read(self.checkpoint).recipe, self.plugins, overrides)
        with quiet(), in_words(), blaming(recipe.chosen().values()):
            prepared = build.prepare(build.data_module(recipe), recipe)
            for side in ("input", "target"):
                stated, trained = getattr(prepared.spec, side), getattr(built.spec, side)
                if not stated.agrees(trained):
                    raise DataError(
                        f"{recipe.data.name}: these data state {stated}; the run was trained for {trained}. Give data "
                        f"with the same {side}s."
                    )
            examples = prepared.examples(split)
            if isinstance(examples, Stream) or len(examples) == 0:
                what = "a stream, all of which nobody can judge" if isinstance(examples, Stream) else "empty"
                raise DataError(f"{recipe.data.name}: its {split} split is {what}. Name another with --split.")
            here = replace(built, recipe=recipe, spec=prepared.spec)
            loader = for_judging(here, encoded_split(examples, here, split))
            trainer = make_trainer(replace(recipe, trainer=alone(recipe.trainer)), [PlaceLoaders([loader])])
            module = TaskModule(built.task, recipe.task)
            found = module.test(trainer, loader, examples, prepared.spec, folder=None)
        return replace(found, split=split)


@contextmanager
def _answerer(path: Path, plugins: Again, trainer: TrainerSection, number: int, of: int) -> Iterator[Answerer]:
    """What answers in one of so many processes."""
    run = load_run(path, plugins=plugins())
    with run.guarded():
        yield NetworkAnswerer(run.built, *place(trainer, run.built.task, share(trainer, number, of)))
