"""What a look ahead found, for a person and for a program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from taskkit.contracts.facts import Severity


@dataclass(frozen=True)
class Finding:
    """One thing that is known of a run before it is begun."""

    severity: Severity
    """A warning tells of a mistake, an error of a run that would fail."""
    kind: str
    """A short fixed word: `first loss`, `one batch`, `time`, `memory`, `disk`."""
    message: str
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    """Seconds, bytes and losses, by name."""
