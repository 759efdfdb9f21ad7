"""The listing of plugins that are published: a file of this repository, of which each wheel has a copy."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Entry:
    """A plugin as its authors listed it; index.schema.json says what each value may be."""

    name: str
    """The distribution."""
    summary: str
    homepage: str | None
    licence: str
    declares: Mapping[str, Sequence[str]]
    """The names of its components, by kind."""
    level: str | None
    """What the conformance check computed; None: nothing yet."""
    tested: Sequence[str]
    """The versions of taskkit-ml that it was tested with."""
    run: str | None
    """Where the run of the check is shown that computed the level."""

    def has(self, word: str) -> bool:
        """Whether a word stands in its name, its summary or the names of its components, whatever the case."""
        components = (name for names in self.declares.values() for name in names)
        return any(word.lower() in text.lower() for text in (self.name, self.summary, *components))


def read_index() -> tuple[Entry, ...]:
    """The listing in this installation, sorted by name; it may be older than the one in the repository."""
    text = resources.files("taskkit.plugins").joinpath("index.json").read_text(encoding="utf-8")
    return tuple(Entry(**entry) for entry in json.loads(text)["plugins"])
