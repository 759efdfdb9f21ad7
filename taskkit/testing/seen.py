"""What a check says of the one thing that it looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Seen:
    """What was seen: it holds, unless there is a cure."""

    found: str
    cure: str = ""
    faults: Sequence[str] = ()
    """What does not hold, one by one, where a plugin may be exempt from some: metrics, parameters."""

    @property
    def holds(self) -> bool:
        """Whether all is well."""
        return not self.cure


class NotRun(Exception):
    """A check that could not be made, with the reason and the cure."""

    def __init__(self, reason: str, cure: str) -> None:
        super().__init__(reason)
        self.cure = cure


class NotDue(Exception):
    """A check that says nothing of this plugin, with the reason."""
