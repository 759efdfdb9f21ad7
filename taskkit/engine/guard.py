"""Whatever a plugin's code raises, or returns instead of what was expected, becomes an error that names it."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from taskkit.batches.loader import is_lost_worker
from taskkit.contracts.component import Chosen
from taskkit.errors import PluginError, RunFailedError, TaskkitError
from taskkit.wording import TELL_AUTHORS

T = TypeVar("T")


class calling:  # noqa: N801 - it is called like a function
    """Raise RunFailedError, which names the component, its plugin and the method, for what the method raises.

    Errors that are meant for a person, and a full memory, pass as they are. `expected` is a sentence on what the
    contract expected; `batch` is what the method was given, whose names are told. A class, since a generator would make
    eight calls more at each step of a training.
    """

    __slots__ = ("batch", "expected", "method", "owner")

    def __init__(
        self, owner: Chosen, method: str, expected: str = "", batch: Mapping[str, object] | None = None
    ) -> None:
        self.owner = owner
        self.method = method
        self.expected = expected
        self.batch = batch

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or not isinstance(error, Exception) or _is_no_fault(error):
            return
        message = " ".join(str(error).split())
        given = "" if self.batch is None else f" The batch has {', '.join(self.batch)}."
        raise RunFailedError(
            f"{self.owner.name} ({self.owner.plugin}): `{self.method}` raised {type(error).__name__}"
            f"{f': {message}' if message else ''}.{f' {self.expected}' if self.expected else ''}{given} --debug "
            f"shows where. {TELL_AUTHORS}"
        ) from error


@contextmanager
def blaming(chosen: Iterable[Chosen]) -> Iterator[None]:
    """Raise RunFailedError for what the code of these components raises wherever the host called it.

    `calling` says more, and first; this is for methods that are called in the depths of loaders and records.
    """
    try:
        yield
    except Exception as error:
        if _is_no_fault(error) or (found := _blamed(error, tuple(chosen))) is None:
            raise
        owner, method = found
        message = " ".join(str(error).split())
        raise RunFailedError(
            f"{owner.name} ({owner.plugin}): `{method}` raised {type(error).__name__}"
            f"{f': {message}' if message else ''}. --debug shows where. {TELL_AUTHORS}"
        ) from error


def _is_no_fault(error: Exception) -> bool:
    """Whether an error is meant for a person as it is, or tells of the machine, wherever it was met."""
    return isinstance(error, TaskkitError | torch.OutOfMemoryError | MemoryError) or is_lost_worker(error)


def _blamed(error: Exception, chosen: Sequence[Chosen]) -> tuple[Chosen, str] | None:
    """Whose method the host called when this was raised, and which; None: the host's own."""
    packages = {each.component.implementation.partition(":")[0].partition(".")[0]: each for each in reversed(chosen)}
    modules = {each.component.implementation.partition(":")[0]: each for each in reversed(chosen)}
    for frame, _ in traceback.walk_tb(error.__traceback__):
        module = frame.f_globals.get("__name__", "")
        owner = modules.get(module) or packages.get(module.partition(".")[0])
        if owner is not None:
            return owner, frame.f_code.co_qualname
    return None


def returned(owner: Chosen, method: str, value: T, expected: type[Any]) -> T:
    """The value, once it is of the type that the contract wants; raises PluginError, which names who gave what."""
    if not isinstance(value, expected):
        name = expected.__name__ if expected.__module__.startswith("torch") else f"taskkit.{expected.__name__}"
        raise PluginError(
            f"{owner.name} ({owner.plugin}): `{method}` returned {_short(value)}. A {name} was expected. {TELL_AUTHORS}"
        )
    return value


def _short(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
