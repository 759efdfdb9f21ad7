"""What a check of a plugin found, and the level that all of them make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Level = Literal["bronze", "silver", "gold"]
LEVELS: tuple[Level, ...] = get_args(Level)

Outcome = Literal["pass", "fail", "exempt", "not run", "not due"]
"""`exempt`: it does not hold, or was not tried, and the plugin says why; `not run`: it could have been and was not,
which costs the level; `not due`: it says nothing of this plugin, as a training of one that is never trained."""

SCHEMA = 1


@dataclass(frozen=True)
class Finding:
    """What one check found of one thing."""

    check: str
    level: Level
    of: str
    """The recipe, component or distribution that was looked at."""
    outcome: Outcome
    found: str
    """What was seen, with numbers; of what was not run, or is not due, the reason."""
    cure: str = ""
    """What to do, where it does not hold."""
    exemption: str = ""
    """The reason and the end of the exemption that was needed."""
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether it does not stand in the way of a level."""
        return self.outcome in ("pass", "exempt", "not due")


@dataclass(frozen=True)
class Report:
    """What the checks of a plugin came to."""

    distribution: str
    version: str
    host: str
    """The version of taskkit, which the kit is part of."""
    asked: Level
    """Up to which level there were checks."""
    findings: Sequence[Finding]
    missing: int = 0
    """Checks up to the level asked for that nobody made; with any of them, their level is not reached."""

    @property
    def level(self) -> Level | None:
        """The highest level all of whose checks, and those of the levels below, hold; None: not even bronze."""
        reached = None
        for level in LEVELS[: LEVELS.index(self.asked) + 1]:
            if self.missing or not all(each.holds for each in self.findings if each.level == level):
                break
            reached = level
        return reached

    @property
    def failed(self) -> bool:
        """Whether a check failed."""
        return any(each.outcome == "fail" for each in self.findings)

    @property
    def said(self) -> str:
        """The level, and how many checks it rests on, in one line."""
        counts = Counter(each.outcome for each in self.findings)
        ran = counts["pass"] + counts["fail"]
        due = len(self.findings) - counts["not due"] + self.missing
        level = self.level.capitalize() if self.level else "no level"
        exempt = f", {counts['exempt']} exempt" if counts["exempt"] else ""
        left = f", {self.missing} left out" if self.missing else ""
        name = f"{self.distribution} {self.version}"
        return f"{name}: {level} ({ran} of {due} checks ran{exempt}{left}) with taskkit {self.host}"

    def plain(self) -> Mapping[str, Any]:
        """The same as plain data, for JSON."""
        counts = Counter(each.outcome for each in self.findings)
        return {
            "schema": SCHEMA,
            "distribution": self.distribution,
            "version": self.version,
            "taskkit": self.host,
            "level": self.level,
            "asked": self.asked,
            "due": len(self.findings) - counts["not due"] + self.missing,
            "ran": counts["pass"] + counts["fail"],
            **{outcome.replace(" ", "_"): counts[outcome] for outcome in get_args(Outcome)},
            "findings": [asdict(each) for each in self.findings],
        }
