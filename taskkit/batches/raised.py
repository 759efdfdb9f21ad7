"""What code raised in a process that reads samples, handed over whole: whose code it was is still known."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import NamedTuple

from taskkit.contracts.component import Kind
from taskkit.contracts.data import DataModule
from taskkit.contracts.model import Model, Processor
from taskkit.contracts.task import Task
from taskkit.errors import MachineError

_KINDS: Mapping[type, Kind] = {Task: "task", Model: "model", Processor: "model", DataModule: "data"}


class Frame(NamedTuple):
    """A call on the way to an error."""

    module: str
    function: str
    """With its class, as `Windows.encode`."""
    file: str
    line: int
    kind: Kind | None
    """What it is a method of; None: of nothing that the contracts know."""


class RaisedElsewhere(Exception):
    """An error of another process; `frames` is the way to it."""

    def __init__(self, name: str, message: str, frames: tuple[Frame, ...]) -> None:
        super().__init__(message)
        self.name = name
        """Of its class there."""
        self.frames = frames


class Raised(NamedTuple):
    """What a process hands over in place of a batch: torch would put a whole traceback into the message."""

    name: str
    message: str
    frames: tuple[Frame, ...]
    trace: str

    @classmethod
    def of(cls, error: Exception) -> Raised:
        """What was raised here, to be handed over."""
        return cls(type(error).__name__, str(error), frames_of(error), "".join(traceback.format_exception(error)))

    def error(self) -> Exception:
        """The same to be raised."""
        if self.name == "MemoryError":
            return MachineError(
                "The machine's memory is full: a process that reads samples got none. Lower loader.workers or "
                "loader.batch_size."
            )
        error = RaisedElsewhere(self.name, self.message, self.frames)
        error.add_note(self.trace)
        return error


def frames_of(error: BaseException) -> tuple[Frame, ...]:
    """The calls on the way to an error, the outermost first."""
    if isinstance(error, RaisedElsewhere):
        return error.frames
    return tuple(_frame(trace) for trace in _traces(error.__traceback__))


def _traces(trace: TracebackType | None) -> list[TracebackType]:
    found = []
    while trace is not None:
        found.append(trace)
        trace = trace.tb_next
    return found


def _frame(trace: TracebackType) -> Frame:
    frame, code = trace.tb_frame, trace.tb_frame.f_code
    this = frame.f_locals.get("self")
    kind = next((kind for base, kind in _KINDS.items() if isinstance(this, base)), None)
    return Frame(frame.f_globals.get("__name__", ""), code.co_qualname, code.co_filename, trace.tb_lineno, kind)
