"""What text data state about their inputs."""

from __future__ import annotations

from dataclasses import dataclass

from taskkit import Fact


@dataclass(frozen=True)
class Text(Fact):
    """Each input is a text, a `str`; or, when `pairs` is set, two that belong together, a `(str, str)`."""

    pairs: bool = False
