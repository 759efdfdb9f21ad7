"""The listing of plugins that are published: a file of this repository, of which each wheel has a copy."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from taskkit.plugins.installed import normalised


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


def install_advice(name: str) -> str:
    """What to do where no plugin of a name, of a distribution or an entry point, is installed.

    A name that is not listed may be anybody's tomorrow: nobody is told to install it.
    """
    listed = {entry.name for entry in read_index()}
    wanted = normalised(name)
    for package in (wanted, f"taskkit-{wanted}"):
        if package in listed:
            return f"Try: pip install {package}"
    return "Where it is a file of yours, name it with --plugin FILE; `taskkit plugins search` lists what is published."


def read_index() -> tuple[Entry, ...]:
    """The listing in this installation, sorted by name; it may be older than the one in the repository."""
    text = resources.files("taskkit.plugins").joinpath("index.json").read_text(encoding="utf-8")
    return tuple(Entry(**entry) for entry in json.loads(text)["plugins"])
