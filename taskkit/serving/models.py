"""A model that is served: what answers, what is known of it, and the threads that work for it."""

from __future__ import annotations

import asyncio
import base64
import mimetypes
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskkit.answering.answerer import Answerer
from taskkit.contracts.facts import Attachment, Prediction
from taskkit.errors import CheckpointError, DataError
from taskkit.handover.folder import is_export
from taskkit.handover.known import known
from taskkit.handover.loaded_export import load_export
from taskkit.plugins.registry import Plugins
from taskkit.serving import probing
from taskkit.serving.batcher import Batcher, Job, Waiting
from taskkit.serving.explaining import Explained, Explaining, Why
from taskkit.serving.inputs import Asked, Input, Upload, read, without_folder
from taskkit.serving.limits import Limits
from taskkit.serving.logs import warnings
from taskkit.serving.measured import Measured
from taskkit.serving.refused import Refused

if TYPE_CHECKING:
    from taskkit.loaded_run import LoadedRun


@dataclass(frozen=True)
class Answered:
    """The answers to a request, and what a person should know of how its inputs were read."""

    predictions: Sequence[Prediction]
    warnings: Sequence[str]


class Served:
    """A model by its name, with a queue of its own; `close` lets what was begun end first."""

    def __init__(
        self,
        name: str,
        answerer: Answerer,
        card: Mapping[str, Any],
        limits: Limits,
        meter: Measured,
        explaining: Explaining | None = None,
    ) -> None:
        self.name = name
        self.answerer = answerer
        self.card = card
        self.limits = limits
        self.explaining = explaining
        """What explains its answers; None: it is a folder that was exported, which has no gradients."""
        self.taken = probing.taken(answerer)
        self.warm: Mapping[str, Any] | None = None
        """The answer to the first question, which the server asked itself; None: it knew none that the model takes."""
        self._batcher = Batcher(answerer, limits, lambda size: meter.batch(name, size))
        self._pool = ThreadPoolExecutor(limits.threads, thread_name_prefix="reading")
        self._places = threading.BoundedSemaphore(limits.queue)

    @property
    def waiting(self) -> int:
        """Inputs that wait for their answer."""
        return self._batcher.waiting

    async def ask(self, asked: Asked) -> Answered:
        """Answer a request; raises Refused for what is wrong with it, when there is no room, and after too long."""
        try:
            async with asyncio.timeout(self.limits.timeout):
                names, said, waiting = await asyncio.wrap_future(self._begin(asked))
                try:
                    found = await asyncio.wrap_future(waiting.future)
                except DataError as error:
                    raise Refused(422, f"{names[waiting.failed]}: {error}") from None
        except TimeoutError:
            seconds = f"{self.limits.timeout:g} s"
            raise Refused(504, f"There was no answer within {seconds}. Ask again later.", again=1) from None
        predictions = [{"input": name, **_written(answer)} for name, answer in zip(names, found, strict=True)]
        return Answered(predictions, said)

    async def explain(self, why: Why) -> Explained:
        """What answers rest on; raises Refused as `ask` does, and where nothing can be explained."""
        if self.explaining is None:
            raise Refused(
                422, f"{self.name} is an exported folder, and its answers cannot be explained. Serve the run itself."
            )
        return await self.explaining.ask(why, self.taken.texts)

    def ask_now(self, asked: Asked) -> list[Prediction]:
        """The same in this thread, without an event loop; raises what the model does."""
        _, _, waiting = self._begin(asked).result()
        return [_written(answer) for answer in waiting.future.result()]

    def warm_up(self, inputs: Sequence[Input]) -> None:
        """Ask the first of these inputs that the model answers."""
        for given in inputs:
            try:
                self.warm = self.ask_now(Asked([given]))[0]
            except (Refused, DataError):
                continue
            return

    def close(self) -> None:
        """Take no more requests, and return when those that were taken are answered."""
        self._pool.shutdown()
        if self.explaining is not None:
            self.explaining.close()
        self._batcher.close()

    def _begin(self, asked: Asked) -> Future[tuple[Sequence[str], Sequence[str], Waiting]]:
        if not self._places.acquire(blocking=False):
            raise Refused(429, f"{self.limits.queue} requests are read already. Ask again later.", again=1)
        try:
            begun = self._pool.submit(self._encode, asked)
        except RuntimeError:
            self._places.release()
            raise Refused(503, "This model is being replaced or stopped. Ask again.", again=1) from None
        begun.add_done_callback(lambda _: self._places.release())
        return begun

    def _encode(self, asked: Asked) -> tuple[Sequence[str], Sequence[str], Waiting]:
        """Read, encode and queue a request: what its inputs are called, the warnings, and what has its answers."""
        with warnings() as said, tempfile.TemporaryDirectory(prefix="taskkit-serve-") as place:
            folder = Path(place)
            asks = read(asked, self.answerer, folder, self.taken.texts, self.limits.inputs)
            waiting, jobs = Waiting(len(asks.examples)), []
            for number, (example, name) in enumerate(zip(asks.examples, asks.names, strict=True)):
                try:
                    samples = self.answerer.encode(example)
                except DataError as error:
                    words = without_folder(str(error), example.id, folder, name)
                    raise Refused(422, words if name in words else f"{name}: {words}") from None
                length = max(map(self.answerer.length, samples))
                jobs.append(Job(example, samples, asks.answering, length, waiting, number))
            said = [without_folder(each, "\0", folder, "") for each in said]
        self._batcher.submit(jobs)
        return asks.names, said, waiting


def load(name: str, path: Path, plugins: Plugins, limits: Limits, meter: Measured, warm: str | None = None) -> Served:
    """Open a run directory, or a folder that it was exported to, to be served, and ask it once.

    `warm` is what it is asked, a text or the path of a file; None: a text, a picture, a sound, or what its test says.
    Raises CheckpointError for a directory that is none of ours, and DataError where `warm` is not answered.
    """
    exported = is_export(path)
    answerer, known, first = (_exported if exported else _run)(path, plugins)
    explaining = None if exported else Explaining(path, plugins, limits)
    served = Served(name, answerer, {"name": name, **known}, limits, meter, explaining)
    served.warm_up(first if warm is None else [_given(warm)])
    if warm is not None and served.warm is None:
        served.close()
        raise DataError(f"--warm-up {warm}: {path} cannot answer it. Name a text or a file that it is made for.")
    return served


def _exported(path: Path, plugins: Plugins) -> tuple[Answerer, Mapping[str, Any], Sequence[Input]]:
    """What answers, what is known of it, and what it may be asked first."""
    export = load_export(path, plugins=plugins)
    return export.answerer, export.known, probing.anything()


def _run(path: Path, plugins: Plugins) -> tuple[Answerer, Mapping[str, Any], Sequence[Input]]:
    """The same of a run."""
    from taskkit.loaded_run import load_run  # whose torch a program in ONNX needs not

    run = load_run(path, plugins=plugins)
    return run.answerer, known(run.manifest), [*probing.anything(), *_tested(run)]


def _tested(run: LoadedRun) -> Iterator[Input]:
    """What its test asked a run."""
    try:
        rows = run.predictions().slice(0, 3).to_pylist()
    except (CheckpointError, OSError):
        return
    for row in rows:
        yield from (str(row[name]) for name in ("target", "id") if row.get(name) is not None)


def _given(warm: str) -> Input:
    path = Path(warm)
    return Upload(path.name, path.read_bytes()) if path.is_file() else warm


def _written(value: Any) -> Any:
    """An answer as JSON has it; a file in it, such as a mask, in base64."""
    # Answers are many: what they mostly hold is looked for first, and dict before Mapping, which asks Python code.
    if isinstance(value, str | float | int):
        return value
    if isinstance(value, Attachment):
        kind = mimetypes.guess_type(f"file{value.suffix}")[0] or "application/octet-stream"
        return {"media_type": kind, "base64": base64.b64encode(value.content).decode()}
    if isinstance(value, dict | Mapping):
        return {str(name): _written(each) for name, each in value.items()}
    return [_written(each) for each in value] if isinstance(value, list | tuple) else value


class Models:
    """The models of a server by name; each can be replaced while it is asked."""

    def __init__(self, served: Sequence[Served]) -> None:
        self._by_name = {each.name: each for each in served}

    def __iter__(self) -> Iterator[Served]:
        return iter(list(self._by_name.values()))

    def __getitem__(self, name: str) -> Served:
        return self._by_name[name]

    def replace(self, served: Served) -> Served:
        """Ask this one from now on, and return the one before, to be closed.

        It is called where requests are taken, in their thread, so that none of them is given to one that is closed.
        """
        before, self._by_name[served.name] = self._by_name[served.name], served
        return before

    def close(self) -> None:
        """Close all of them."""
        for each in self:
            each.close()
