"""What text data state about their inputs."""

from __future__ import annotations

from dataclasses import dataclass

from taskkit import Classes, DataSpec, Fact


@dataclass(frozen=True)
class Text(Fact):
    """Each input is a text, a `str`; or, when `pairs` is set, two that belong together, a `(str, str)`."""

    pairs: bool = False


def class_count(spec: DataSpec) -> int:
    """The number of classes that the data state."""
    assert isinstance(spec.target, Classes)
    return len(spec.target.names)
