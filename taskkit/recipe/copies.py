"""Copies of recipes: each says in its header where it is from, so that it can be told later what has changed since."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskkit.contracts.recipe import Recipe
from taskkit.contracts.settings import settings
from taskkit.errors import Problem, RecipeError
from taskkit.recipe.load import find, load
from taskkit.recipe.merge import file_layer

if TYPE_CHECKING:
    from taskkit.plugins.discovery import Plugins

_LINE = re.compile(r"^# from: (?P<name>.+), (?P<owner>.+), sha256 (?P<sha256>[0-9a-f]{64})$", re.MULTILINE)
NOBODY = "a file"
"""The owner of a recipe that no plugin ships."""


@dataclass(frozen=True)
class Original:
    """What a copy was made of."""

    name: str
    """As a recipe of a plugin is called; of a file its path, relative to the folder of the copy."""
    owner: str
    """The plugin that shipped it, with its version, or NOBODY."""
    sha256: str
    """Of its bytes when it was copied."""

    def line(self) -> str:
        """The line of a header that says so."""
        return f"# from: {self.name}, {self.owner}, sha256 {self.sha256}"


@dataclass(frozen=True)
class Drift:
    """How a copy and its original, as it is now, differ."""

    original: Original
    owner: str
    """The plugin that ships it now, with its version, or NOBODY."""
    changed: bool
    """Whether the original is no more what was copied."""
    keys: Mapping[str, tuple[Any, Any]]
    """The values of keys that differ, defaults included: the copy's and the original's; None where one has no such."""


def copied(name: str, target: Path, plugins: Plugins) -> str:
    """The text of a recipe, with a line below its header that says where it is from.

    Raises RecipeError where there is no such recipe, it cannot be read, or it is none by its form.
    """
    path = find(name, plugins, alone=True)
    content = _bytes(path)
    _refuse_others(path, content)
    text = content.decode("utf-8")
    original = Original(_named(name, path, target), _owner(path, plugins), hashlib.sha256(content).hexdigest())
    lines = [line for line in text.splitlines() if not _LINE.fullmatch(line)]
    header = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "\n".join([*lines[:header], original.line(), *lines[header:]]) + "\n"


def _refuse_others(path: Path, content: bytes) -> None:
    """Raise RecipeError for a file that is no recipe; one whose values have problems may be copied and mended."""
    values = file_layer(str(path), content).values
    sections = {field.name for field in settings(Recipe)} - {"title"}
    if not sections & values.keys():
        message = "this is no recipe: it has none of its sections. A file with task, model and data was expected."
        raise RecipeError([Problem(str(path), "", message)])


def drift(copy: Path, plugins: Plugins) -> Drift:
    """What has changed between a copy and its original.

    Raises RecipeError where the copy does not say what it is of, its original is gone, or either has problems.
    """
    if not copy.exists() and str(copy) in {recipe.name for recipe in plugins.recipes()}:
        message = (
            "this is a recipe that a plugin ships, and no copy. A copy was expected: "
            f"`taskkit new recipe {copy}` makes one."
        )
        raise RecipeError([Problem(str(copy), "", message)])
    found = _LINE.search(_bytes(copy).decode("utf-8", errors="replace"))
    if found is None:
        message = "it does not say what it is a copy of. A line `# from: …` of `taskkit new recipe` was expected."
        raise RecipeError([Problem(str(copy), "", message)])
    original = Original(**found.groupdict())
    place = original.name if original.owner != NOBODY else str(copy.parent / original.name)
    path = find(place, plugins, alone=True)
    ours, theirs = (dict(_leaves(load([each], [], plugins).plain())) for each in (copy, path))
    keys = {
        key: (ours.get(key), theirs.get(key))
        for key in [*ours, *(theirs.keys() - ours.keys())]
        if ours.get(key) != theirs.get(key)
    }
    changed = hashlib.sha256(_bytes(path)).hexdigest() != original.sha256
    return Drift(original, _owner(path, plugins), changed, keys)


def _named(name: str, path: Path, target: Path) -> str:
    return name if Path(name) != path else os.path.relpath(path, target.parent)


def _owner(path: Path, plugins: Plugins) -> str:
    return next((str(plugins.owner(recipe)) for recipe in plugins.recipes() if recipe.path == path), NOBODY)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"it cannot be read: {error.strerror}. A recipe file was expected. Correct the path."
        raise RecipeError([Problem(str(path), "", message)]) from None


def _leaves(values: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{at}{name}.")
        else:
            yield f"{at}{name}", value
