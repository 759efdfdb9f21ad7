"""What a part found: lines of a table, and what was wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One line of the result."""

    what: str
    times: int
    came: str
    wrong: Sequence[str] = ()
    """What should not have been, a sentence each."""

    def __str__(self) -> str:
        failed = f"**{len(self.wrong)} wrong**" if self.wrong else "none"
        return f"| {self.what} | {self.times} | {self.came} | {failed} |"
