"""What a person asks of whatever answers: inputs and options are read, encoded, answered and told."""

from __future__ import annotations

import logging
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskkit.answering.answerer import Answerer
from taskkit.answering.many import Progress, Written, answer_into, read_source
from taskkit.answering.processes import Opening
from taskkit.answering.share import Answering, Unread
from taskkit.answering.watching import Answers, Said, Watch
from taskkit.contracts.facts import Example, Prediction
from taskkit.data.outputs import Form, check_output
from taskkit.errors import DataError
from taskkit.recipe import options as options_
from taskkit.runs.attachments import attached, file_names
from taskkit.wording import some

log = logging.getLogger("taskkit")

PARALLEL_FROM = 1000
"""Fewer inputs than this are encoded sooner by one process than it takes to start several."""
NAMED = 10
"""So many inputs are named in one message."""


@dataclass(frozen=True)
class Requests:
    """What is asked: the examples that were read, and how the task is to answer."""

    examples: Sequence[Example]
    options: Any
    """The task's `predict_options`."""


class Asked(ABC):
    """A run, or an exported folder, that is asked about new inputs."""

    @property
    @abstractmethod
    def answerer(self) -> Answerer:
        """What answers."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is called."""

    @property
    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """What decides the answers beside inputs and options, as plain data: two that differ in it may answer apart."""

    @abstractmethod
    def _elsewhere(self, devices: int) -> Sequence[Opening]:
        """What opens the same in so many other processes, each on a device of its own.

        Raises TaskkitError where there are not so many devices, or another process could not open it.
        """

    @property
    def workers(self) -> int:
        """How many processes encode where there are many inputs."""
        return os.cpu_count() or 1

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Around all that encodes and answers: what is raised there is told as the fault of whoever made it."""
        yield

    @property
    def predict_options(self) -> tuple[type, type]:
        """The dataclasses of what `predict` takes beside inputs: the processor's and the task's."""
        return self.answerer.predict_options

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
        """Read what is to be asked; raises as `predict` does.

        With neither inputs nor options that name something to ask about, there are no examples in it.
        """
        answerer = self.answerer
        reading, answering = self._options(options)
        sources = _sources(inputs)
        examples = [*answerer.requested(reading), *_read(answerer, sources, reading)]
        _check_some(examples, sources)
        return Requests(examples, answering)

    def answer(self, requests: Requests, out: str | Path | None = None) -> list[Prediction]:
        """The predictions for what was read; see `predict`."""
        examples = requests.examples
        with self.guarded():
            samples = [self.answerer.encode(example) for example in examples]
            answers = self.answerer.answer(examples, samples, requests.options)
        _tell(examples, answers)
        folder = Path(out) if out is not None else Path(tempfile.gettempdir()) / f"taskkit-{self.name}"
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
        devices: int = 1,
        form: Form | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Written:
        """Predict as `predict` does, into a .csv, .jsonl or .parquet file, of any number of inputs in bounded memory.

        Beside the columns of tables stand `input`, `prediction` and what else the run answers, a row for each input in
        their order; a row of what cannot be read, or answered, has its `error` instead. Until the file is whole,
        answers are kept in `PATH.parts`: whatever ended the process, the same call goes on from there and repeats
        nothing. `workers` processes encode, by default as many as the machine has cores where there are thousands
        of inputs. From two `devices` on each has a process that answers on it, or on a CPU with its share of the cores;
        a program must then be one that may be imported, with `if __name__ == "__main__":` around what it does.
        `progress` is called with how many rows are done, and of how many. Predictions that are files are
        written into `out`, by default `PATH.files`. Raises DataError where none of the inputs can be read, and
        TaskkitError for a path that is there or has parts of other answers, for more devices than there are, and for
        an unknown option.
        """
        path = Path(path)
        check_output(path)
        reading, answering = self._options(options)
        sources = _sources(inputs)
        read = [each for source in sources for each in read_source(self.answerer, source, reading)]
        requests = [*self.answerer.requested(reading), *read]
        _check_some(requests, sources)
        if all(isinstance(each, Unread) for each in requests):
            _read(self.answerer, sources, reading)  # raises what is wrong with all of them
        if workers is None:
            workers = max(1, self.workers // devices) if len(requests) >= PARALLEL_FROM else 0
        with self.guarded():
            return answer_into(
                self.answerer,
                requests,
                path,
                {**self.identity, "options": dict(options)},
                Answering(answering, _beside(path, out), workers),
                elsewhere=self._elsewhere(devices) if devices > 1 else (),
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
        answers = Answers(path, {**self.identity, "options": dict(options), "folder": str(folder.resolve())})
        try:
            with self.guarded():
                Watch(self.answerer, folder, answers, reading, answering, _beside(path, out)).until(stopped, said)
        finally:
            answers.close()

    def _options(self, options: Mapping[str, Any]) -> list[Any]:
        """What was asked for, as the dataclasses of `predict_options`."""
        reading, answering = options_.fill(options, self.predict_options)
        self.answerer.check_options(answering)
        return [reading, answering]


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


def _check_some(found: Sequence[Any], sources: Sequence[str]) -> None:
    """Raise DataError where there are sources, and nothing to answer in any."""
    if sources and not found:
        raise DataError(f"{some(sources)}: there is nothing in it to answer. Name an input that is not empty.")


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
