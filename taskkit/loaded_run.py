"""A run directory as a program sees it: its record, and its task, to be asked and judged again."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from taskkit.answering.answerer import Answerer
from taskkit.answering.many import Progress, Unread, Written, answer_into, read_source
from taskkit.answering.network import NetworkAnswerer
from taskkit.answering.watching import Answers, Said, Watch
from taskkit.contracts.data import Stream
from taskkit.contracts.facts import Example, Prediction, Split
from taskkit.data.outputs import Form, check_output
from taskkit.engine import build
from taskkit.engine.build import Built
from taskkit.engine.evaluate import Evaluation
from taskkit.engine.guard import blaming
from taskkit.engine.machine import in_words
from taskkit.engine.placement import alone, place
from taskkit.errors import CheckpointError, DataError
from taskkit.plugins.discovery import from_environment
from taskkit.plugins.registry import Plugins
from taskkit.recipe import load as recipes
from taskkit.recipe import options as options_
from taskkit.runs import checkpoint, history, manifest, since
from taskkit.runs.attachments import attached, file_names
from taskkit.runs.encryption import reading
from taskkit.runs.manifest import Manifest
from taskkit.runs.rows import read_rows
from taskkit.wording import some

log = logging.getLogger("taskkit")


def load_run(path: str | Path, *, plugins: Plugins | None = None) -> LoadedRun:
    """Open a run directory; raises CheckpointError when it is none of ours."""
    path = Path(path)
    return LoadedRun(path, manifest.read(path), plugins or from_environment())


PARALLEL_FROM = 1000
"""Fewer inputs than this are encoded sooner by one process than it takes to start several."""
NAMED = 10
"""So many inputs are named in one message."""


@dataclass(frozen=True)
class Requests:
    """What a run is asked: the examples that were read, and how the task is to answer."""

    examples: Sequence[Example]
    options: Any
    """The task's `predict_options`."""


def _read(answerer: Answerer, sources: Sequence[str], options: Any) -> list[Example]:
    """The examples of all sources; raises one DataError that names each source which cannot be read."""
    read: list[Example] = []
    refused: list[str] = []
    for number, source in enumerate(sources, 1):
        try:
            read += answerer.read(source, options)
        except DataError as error:
            if len(sources) == 1:
                raise
            refused.append(f"input {number}: {error}")
    if refused:
        more = [f"… and {len(refused) - NAMED} more"] if len(refused) > NAMED else []
        raise DataError(
            "\n".join(
                [
                    f"{len(refused)} of {len(sources)} inputs cannot be read. None is answered, since answers stand in "
                    "the order of the inputs. Leave these out:",
                    *refused[:NAMED],
                    *more,
                ]
            )
        )
    return read


def _sources(inputs: str | Path | Sequence[str]) -> Sequence[str]:
    return [str(inputs) if isinstance(inputs, Path) else inputs] if isinstance(inputs, str | Path) else inputs


def _beside(path: Path, out: str | Path | None) -> Path:
    """Where predictions that are files are written."""
    return path.with_name(f"{path.name}.files") if out is None else Path(out)


def _tell(examples: Sequence[Example], answers: Sequence[Prediction]) -> None:
    """Warn of the inputs that a processor marked, as those that it cut."""
    flagged: dict[str, list[str]] = {}
    for example, answer in zip(examples, answers, strict=True):
        for flag in answer.get("flags", ()):
            flagged.setdefault(flag, []).append(example.id)
    for flag, ids in flagged.items():
        log.warning("%d of %d inputs: %s (%s)", len(ids), len(examples), flag, some(ids))


class LoadedRun:
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
        for name in ("best.ckpt", "last.ckpt"):
            if (path := self.path / "checkpoints" / name).exists():
                return path
        if any(each["file"].startswith("checkpoints/") for call in self.manifest.scrubbed for each in call["removed"]):
            raise CheckpointError(
                f"{self.path}: its checkpoints were removed by taskkit scrub. It can be compared, or run "
                f"again: taskkit run {self.path}/recipe.yaml"
            )
        if self.manifest.derived is not None:
            raise CheckpointError(
                f"{self.path}: it was made of other runs ({self.manifest.derived.kind}) and has no checkpoint. Name "
                f"one of its members, such as {self.manifest.derived.where(self.path)}"
            )
        raise CheckpointError(
            f"{self.path}: no checkpoint was written before the run ended ({self.status}). "
            f"Go on with it first: taskkit run --resume {self.path}"
        )

    @cached_property
    def built(self) -> Built:
        """The task with its network and processor, rebuilt from the checkpoint alone."""
        since.check_plugins(self.path, self.manifest, self.plugins)
        saved = checkpoint.read(self.checkpoint)
        return build.rebuild(saved, recipes.from_plain(saved.recipe, self.plugins), self.plugins.components)

    @property
    def predict_options(self) -> tuple[type, type]:
        """The dataclasses of what `predict` takes beside inputs: the processor's and the task's."""
        return self.built.processor.predict_options, self.built.task.predict_options

    def predict(
        self, inputs: str | Path | Sequence[str] = (), *, out: str | Path | None = None, **options: Any
    ) -> list[Prediction]:
        """Predict for paths or texts, as the model's processor reads them; a table gives one prediction for each row.

        `input` in each prediction is what a person calls it; `flags` are in those whose input was marked, as
        `truncated`, and a warning counts them. The options that a run takes are those that its processor and its task
        declare, as `column="text"` or `top=3`; some, as `user="42"`, need no input. Predictions that are files, such as
        masks, are written into the folder `out`, by default a new temporary one. Raises DataError that names all inputs
        which cannot be read, when there is one, since answers stand in the order of the inputs, and TaskkitError for an
        unknown option. Several threads may ask at once.
        """
        return self.answer(self.requests(inputs, **options), out)

    def requests(self, inputs: str | Path | Sequence[str] = (), **options: Any) -> Requests:
        """Read what a run is to be asked; raises as `predict` does.

        With neither inputs nor options that name something to ask about, there are no examples in it.
        """
        answerer = self.answerer
        reading, answering = self._options(options)
        return Requests([*answerer.requested(reading), *_read(answerer, _sources(inputs), reading)], answering)

    def answer(self, requests: Requests, out: str | Path | None = None) -> list[Prediction]:
        """The predictions for what was read; see `predict`."""
        examples = requests.examples
        with in_words(), blaming(self.built.recipe.chosen().values()):
            samples = [self.answerer.encode(example) for example in examples]
            answers = self.answerer.answer(examples, samples, requests.options)
        _tell(examples, answers)
        folder = Path(out) if out is not None else Path(tempfile.gettempdir()) / f"taskkit-{self.manifest.id}"
        names = file_names([example.id for example in examples])
        return [
            {"input": example.id, **attached(answer, folder, name)}
            for example, answer, name in zip(examples, answers, names, strict=True)
        ]

    def predict_into(
        self,
        inputs: str | Path | Sequence[str],
        path: str | Path,
        *,
        out: str | Path | None = None,
        workers: int | None = None,
        form: Form | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Written:
        """Predict as `predict` does, into a .csv, .jsonl or .parquet file, of any number of inputs in bounded memory.

        Beside the columns of tables stand `input`, `prediction` and what else the run answers, a row for each input in
        their order; a row of what cannot be read, or answered, has its `error` instead. Until the file is whole,
        answers are kept in `PATH.parts`: whatever ended the process, the same call goes on from there and repeats
        nothing. `workers` processes encode, by default as many as the machine has cores where there are thousands
        of inputs. `progress` is called with how many rows are done, and of how many. Predictions that are files are
        written into `out`, by default `PATH.files`. Raises DataError where none of the inputs can be read, and
        TaskkitError for a path that is there or has parts of other answers, and for an unknown option.
        """
        path = Path(path)
        check_output(path)
        reading, answering = self._options(options)
        sources = _sources(inputs)
        read = [each for source in sources for each in read_source(self.answerer, source, reading)]
        requests = [*self.answerer.requested(reading), *read]
        if all(isinstance(each, Unread) for each in requests):
            _read(self.answerer, sources, reading)  # raises what is wrong with all of them
        if workers is None:
            workers = self._workers if len(requests) >= PARALLEL_FROM else 0
        with in_words(), blaming(self.built.recipe.chosen().values()):
            return answer_into(
                self.answerer,
                requests,
                path,
                self._asked(options),
                answering,
                out=_beside(path, out),
                workers=workers,
                form=form,
                progress=progress,
            )

    def watch(
        self,
        folder: str | Path,
        path: str | Path,
        stopped: Callable[[], bool],
        *,
        out: str | Path | None = None,
        said: Said | None = None,
        **options: Any,
    ) -> None:
        """Predict for each file that lies or appears in a folder, appending to a .jsonl file, until `stopped()`.

        A file is read once it no longer changes, and again for ten seconds where it cannot be read; then its row has
        the `error`. None is answered twice, also when the same call is made again. `said` is called with the name of
        each file and how many of its rows are errors. Raises DataError for a folder that is not there, and TaskkitError
        for a path that was not begun so and an unknown option.
        """
        folder, path = Path(folder), Path(path)
        if not folder.is_dir():
            raise DataError(
                f"{folder}: it is no folder. One in which files appear was expected. Make it, or name another."
            )
        reading, answering = self._options(options)
        answers = Answers(path, {**self._asked(options), "folder": str(folder.resolve())})
        try:
            with in_words(), blaming(self.built.recipe.chosen().values()):
                Watch(self.answerer, folder, answers, reading, answering, _beside(path, out)).until(stopped, said)
        finally:
            answers.close()

    def _options(self, options: Mapping[str, Any]) -> list[Any]:
        """What was asked for, as the dataclasses of `predict_options`."""
        reading, answering = options_.fill(options, self.predict_options)
        self.answerer.check_options(answering)
        return [reading, answering]

    def _asked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """What decides the answers beside the inputs."""
        stat = self.checkpoint.stat()
        return {"run": self.manifest.id, "checkpoint": [stat.st_size, stat.st_mtime_ns], "options": dict(options)}

    @property
    def _workers(self) -> int:
        asked = self.built.recipe.loader.workers
        return (os.cpu_count() or 1) if asked is None else asked

    @cached_property
    def answerer(self) -> NetworkAnswerer:
        """The run's task as what can be asked, on one device and in the precision that it was trained in."""
        return NetworkAnswerer(self.built, *place(self.built.recipe.trainer, self.built.task))

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
