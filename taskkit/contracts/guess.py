"""What a person's files may be: what plugins are shown of them, and what they say of it. Without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Columns = Mapping[str, Sequence[str]]
"""Some cells of each column of a table, spread over all rows, as text; empty where a cell is."""


@dataclass(frozen=True)
class UserData:
    """A file or a folder that a person would like to train on, as far as anybody can look at it without knowing it."""

    path: Path
    """As the person named it; a relative one begins where taskkit is called."""
    tables: Mapping[Path, Columns] = field(default_factory=dict)
    """The file, if it is a table, or those that lie in the folder itself: what `read_table` reads."""
    files: Sequence[Path] = ()
    """The other files of the folder and the folders in it, relative to it and sorted; hidden ones are left out."""
    unreadable: Sequence[str] = ()
    """Of each table of the folder that is passed over, where it is and why it cannot be read."""


@dataclass(frozen=True)
class Guess:
    """What a plugin takes a person's data for, and the recipe that it would train on them by."""

    taken_for: str
    """In words: `images in 3 folders, one for each class`."""
    why: Sequence[str]
    """What speaks for it, a sentence each."""
    fits: float
    """How sure it is, from 0 to 1: about 0.9 where names and contents say the same, 0.5 where it may well be so."""
    recipe: Mapping[str, Any]
    """Plain data of the form of a recipe file: task, model and data with their names, and what else is needed."""

    @property
    def task(self) -> str:
        """The name of the task, by which a person chooses among guesses."""
        return str(self.recipe.get("task", {}).get("name", ""))
