"""Whatever a plugin's code raises, or returns instead of what was expected, becomes an error that names it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from taskkit.batches.raised import Frame, RaisedElsewhere, frames_of
from taskkit.contracts.component import Chosen
from taskkit.engine.machine import is_of_machine
from taskkit.errors import RunFailedError, TaskkitError
from taskkit.wording import TELL_AUTHORS, without_stop

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
        given = "" if self.batch is None else f" The batch has {', '.join(self.batch)}."
        expected = f" {self.expected}" if self.expected else ""
        raise _fault(self.owner, self.method, error, f"{expected}{given}") from error


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
        raise _fault(*found, error) from error


def _fault(owner: Chosen, method: str, error: Exception, more: str = "") -> RunFailedError:
    """What a component's method raised, in words, and where in its file."""
    name = error.name if isinstance(error, RaisedElsewhere) else type(error).__name__
    message = without_stop(str(error))
    place = next((_place(frame) for frame in reversed(frames_of(error)) if _is_of(frame, owner)), None)
    where = f" That was in {place};" if place else ""
    return RunFailedError(
        f"{owner.name} ({owner.plugin}): `{method}` raised {name}{f': {message}' if message else ''}.{more}{where} "
        f"--debug shows the whole way there. {TELL_AUTHORS}"
    )


def _is_no_fault(error: Exception) -> bool:
    """Whether an error is meant for a person as it is, or tells of the machine, wherever it was met."""
    return isinstance(error, TaskkitError) or is_of_machine(error)


def _blamed(error: Exception, chosen: Sequence[Chosen]) -> tuple[Chosen, str] | None:
    """Whose method the host called when this was raised, and which; None: the host's own."""
    for frame in frames_of(error):
        among = [each for each in chosen if _module(each) == frame.module]
        among = among or [each for each in chosen if _is_of(frame, each)]
        if among:
            # One module may hold several components, and a processor is its model's.
            named = [each for each in among if _class(each) == frame.function.partition(".")[0]]
            of_kind = [each for each in among if each.component.kind == frame.kind]
            return (named or of_kind or among)[0], frame.function
    return None


def _module(owner: Chosen) -> str:
    return owner.component.implementation.partition(":")[0]


def _class(owner: Chosen) -> str:
    return owner.component.implementation.partition(":")[2]


def _is_of(frame: Frame, owner: Chosen) -> bool:
    """Whether a call is in the package of a component; of one that is the host's own, in the contracts."""
    package = _module(owner).partition(".")[0]
    return frame.module.startswith("taskkit.contracts." if package == "taskkit" else f"{package}.") or (
        frame.module == package != "taskkit"
    )


def _place(frame: Frame) -> str:
    """The file from its package on, and the line."""
    depth = frame.module.count(".") + 1 + (Path(frame.file).name == "__init__.py")
    return f"{'/'.join(Path(frame.file).parts[-depth:])}:{frame.line}"


def returned(owner: Chosen, method: str, value: T, expected: type[Any]) -> T:
    """The value, once it is of the type that the contract wants; raises RunFailedError, which names who gave what."""
    if not isinstance(value, expected):
        name = expected.__name__ if expected.__module__.startswith("torch") else f"taskkit.{expected.__name__}"
        raise RunFailedError(
            f"{owner.name} ({owner.plugin}): `{method}` returned {_short(value)}. A {name} was expected. {TELL_AUTHORS}"
        )
    return value


def _short(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
