"""What a plugin declares: strings that cost nothing to import and say where the code is."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

Kind = Literal["task", "model", "data"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Component:
    """One task, model or data module, declared by name; nothing named here is imported until a recipe needs it.

    `implementation`, `section`, `input` and `targets` are import paths of the form `package.module:Name`. The modules
    of `section`, `input` and `targets` must not import torch: checking a recipe imports them.
    """

    kind: Kind
    name: str
    """What a recipe calls it: `image.vit`."""
    summary: str
    """The line that `taskkit list` shows."""
    implementation: str
    """The class: a Task, a Model or a DataModule."""
    section: str
    """The dataclass of its settings in a recipe."""
    input: str = ""
    """The Fact about the inputs that data state and a model or task needs; empty in a task: any."""
    targets: tuple[str, ...] = ()
    """The Facts about the targets: that data can state, that a model can answer, and the one that a task judges."""


@dataclass(frozen=True)
class RecipeFile:
    """A recipe shipped inside a plugin's package; `taskkit run NAME` finds it."""

    name: str
    path: Path


def load(reference: str) -> Any:
    """Import `package.module:Name` and return the object.

    Raises ImportError when the module cannot be imported and AttributeError when it has no such name.
    """
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
