"""What a plugin declares: strings that cost nothing to import and say where the code is."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, get_args

Kind = Literal["task", "model", "data"]
Direction = Literal["max", "min"]
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
    metrics: Mapping[str, Direction] = field(default_factory=dict)
    """Of a task: the metrics that a run may watch and which way each is better, so that a recipe is checked before any
    work; `ndcg@*` stands for all cut-offs. Empty: they are known once the task is made."""

    statistics: tuple[str, ...] = ()
    """Of a task: the import paths of functions of its own that its statistics are `Of`, in modules without torch."""
    portable: str = ""
    """Of a model or a task: the import path of its ArrayProcessor or ArrayTask, in a module without torch; empty: an
    exported network is asked with torch, though not by it."""

    def __hash__(self) -> int:
        return hash((self.kind, self.name, self.implementation))

    def direction(self, metric: str) -> Direction | None:
        """Which way a metric of this task, or its loss, is better; None: it declares no such metric."""
        declared = {**self.metrics, "loss": "min"}
        found = next((name for name in declared if fnmatchcase(metric, name)), None)
        return None if found is None else declared[found]


@dataclass(frozen=True)
class PluginInfo:
    """A plugin: the distribution that brings it, its version, and the name of its entry point."""

    distribution: str
    version: str
    entry_point: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".strip() or self.entry_point


@dataclass(frozen=True)
class Chosen:
    """A component that a recipe names: found once, and passed on with its owner and its settings."""

    component: Component
    plugin: PluginInfo
    section: Any
    """The settings, as the dataclass that the component declares."""

    @property
    def name(self) -> str:
        """What the recipe calls it."""
        return self.component.name


@dataclass(frozen=True)
class RecipeFile:
    """A recipe shipped inside a plugin's package; `taskkit run NAME` finds it."""

    name: str
    path: Path


def recipes_in(package: str) -> Iterator[RecipeFile]:
    """The recipes in the folder `recipes` of an imported package, each named as its file; none without that folder."""
    for place in importlib.import_module(package).__path__:
        for path in sorted(Path(place, "recipes").glob("*.yaml")):
            yield RecipeFile(path.stem, path)


def load(reference: str) -> Any:
    """Import `package.module:Name` and return the object.

    A public name of taskkit is found whatever module of the host a reference names, since files move. Raises
    ImportError when the module cannot be imported and AttributeError when it has no such name.
    """
    module, _, name = reference.partition(":")
    if module.startswith("taskkit.") and name in importlib.import_module("taskkit").__all__:
        module = "taskkit"
    return getattr(importlib.import_module(module), name)
