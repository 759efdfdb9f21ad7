"""What answers rest on: each model has a network of its own for that, which one thread asks."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskkit.errors import TaskkitError
from taskkit.plugins.registry import Plugins
from taskkit.serving.inputs import Asked, read, without_folder
from taskkit.serving.limits import Limits
from taskkit.serving.logs import warnings
from taskkit.serving.refused import Refused

if TYPE_CHECKING:
    from taskkit.answering.network import NetworkAnswerer


@dataclass(frozen=True)
class Why:
    """What one request wants explained, by which method; None: what `taskkit explain` would take."""

    asked: Asked
    method: str | None = None
    target: str | None = None


@dataclass(frozen=True)
class Explained:
    """What answers rest on, as JSON has it, and what a person should know of how the inputs were read."""

    explanations: Sequence[dict[str, Any]]
    warnings: Sequence[str]


class Explaining:
    """Explains answers of a run; its network is opened with the first question, and answers nothing else.

    Gradients and hooks must not meet answers that other threads are given.
    """

    def __init__(self, path: Path, plugins: Plugins, limits: Limits) -> None:
        self._path = path
        self._plugins = plugins
        self._limits = limits
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="explaining")
        self._places = threading.BoundedSemaphore(limits.explained)

    async def ask(self, why: Why, texts: bool) -> Explained:
        """The explanations; `texts` says whether the model takes a line of text for what it is.

        Raises Refused for what is wrong with the request, when there is no room, and after too long.
        """
        if not self._places.acquire(blocking=False):
            raise Refused(429, f"{self._limits.explained} requests wait for explanations. Ask again later.", again=1)
        try:
            begun = self._pool.submit(self._explained, why, texts)
        except RuntimeError:
            self._places.release()
            raise Refused(503, "This model is being replaced or stopped. Ask again.", again=1) from None
        begun.add_done_callback(lambda _: self._places.release())
        try:
            async with asyncio.timeout(self._limits.timeout):
                return await asyncio.wrap_future(begun)
        except TimeoutError:
            raise Refused(504, f"There was no explanation within {self._limits.timeout:g} s. Ask for less.") from None

    def close(self) -> None:
        """Take no more requests, and return when those that were taken are answered."""
        self._pool.shutdown()

    @cached_property
    def _answerer(self) -> NetworkAnswerer:
        from taskkit.loaded_run import load_run

        return load_run(self._path, plugins=self._plugins).answerer

    def _explained(self, why: Why, texts: bool) -> Explained:
        from taskkit.explanation.explain import explain_examples

        answerer = self._answerer
        with warnings() as said, tempfile.TemporaryDirectory(prefix="taskkit-serve-") as place:
            folder = Path(place)
            asks = read(why.asked, answerer, folder, texts, self._limits.explained)
            made: list[dict[str, Any]] = []
            for example, name in zip(asks.examples, asks.names, strict=True):
                try:
                    found = explain_examples(answerer, [example], asks.answering, method=why.method, target=why.target)
                except TaskkitError as error:
                    if error.failure != "input":
                        raise
                    raise Refused(422, without_folder(str(error), example.id, folder, name)) from None
                made += [{**each.plain(), "input": each.input.replace(example.id, name, 1)} for each in found]
            return Explained(made, [without_folder(each, "\0", folder, "") for each in said])
