"""What this plugin brings to taskkit; importing it loads no torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from taskkit import Component, RecipeFile, hookimpl

taskkit_api = ">=0.1,<0.2"


@hookimpl
def taskkit_components() -> Iterable[Component]:
    """The tasks, models and data."""
    return ()


@hookimpl
def taskkit_recipes() -> Iterable[RecipeFile]:
    """The recipes that come inside the package."""
    folder = Path(__file__).parent / "recipes"
    return [RecipeFile(path.stem, path) for path in sorted(folder.glob("*.yaml"))]
