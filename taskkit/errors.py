"""The errors that taskkit raises on purpose: each says where, what, what was expected and what to do."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Failure = Literal["input", "source", "code", "numbers", "machine"]
"""What ended a run: what a person gave it, a source that could not be reached, a fault in somebody's code, numbers that
were no longer finite, or what happened to the machine."""

PASSING: frozenset[Failure] = frozenset({"source", "machine"})
"""What may be over when a run goes on; the others come again until somebody changes something."""


class TaskkitError(Exception):
    """Something the user can change; the command line prints it as one line and exits with `exit_code`."""

    exit_code = 2
    failure: Failure = "input"


class RunFailedError(TaskkitError):
    """A run that began and could not go on: a loss that is not a number, a batch that raised, a full disk."""

    exit_code = 1
    failure: Failure = "code"


class MachineError(RunFailedError):
    """What happened to the machine, and is nobody's fault: a full disk or memory, a lost process or device."""

    failure: Failure = "machine"


class OutOfMemoryError(MachineError):
    """A memory, of the machine or of a device, that was full: smaller batches may fit."""


class NonfiniteError(RunFailedError):
    """A training whose numbers are no longer finite, which it would meet again."""

    failure: Failure = "numbers"


class SourceError(TaskkitError):
    """Data or weights that no source could give; the message lists every source and why it failed."""

    failure: Failure = "source"


class DataError(TaskkitError):
    """Data that were found and cannot be used as they are."""


class PluginError(TaskkitError):
    """Something asked for that belongs to a plugin which is missing or did not load."""


class CheckpointError(TaskkitError):
    """A run directory or a checkpoint that is not one of ours, is damaged, or needs what is not installed."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a recipe.

    `where` is `file:line:column`, `override 'key=value'` or the dotted key alone; `message` says what is wrong, what
    was expected and what to do.
    """

    where: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class RecipeError(TaskkitError):
    """Everything that is wrong with a recipe, all at once, in `problems`."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[type[RecipeError], tuple[tuple[Problem, ...]]]:
        # By its message alone, as other errors, it could not be made again in another process.
        return RecipeError, (self.problems,)


FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_full_disk(error: BaseException) -> bool:
    """Whether an error tells that a disk is full, or a file larger than it may be."""
    return isinstance(error, OSError) and error.errno in FULL_DISK


def no_room(error: BaseException, where: object = "a file cannot be written") -> str:
    """What to do about a disk that is full, with the file's name where the error has it, and else `where`."""
    assert isinstance(error, OSError)
    return (
        f"{error.filename or where}: the disk is full or a file is larger than it may be ({error.strerror}). Make room."
    )
