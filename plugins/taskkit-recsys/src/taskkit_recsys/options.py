"""What `taskkit predict` takes to recommend."""

from __future__ import annotations

from dataclasses import dataclass

from taskkit import setting


@dataclass
class Recommend:
    """What `taskkit predict` answers."""

    top: int = setting(10, "how many items to recommend", ge=1)
    filter_seen: bool = setting(True, "leave out what is in the history")
