"""taskkit: train, evaluate, compare and hand over models of any modality from one recipe file.

The names below are public. They are imported when they are first used, so that `import taskkit` loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskkit.api import resume, run
    from taskkit.cachedir import cache_directory
    from taskkit.contracts.classification import Classification
    from taskkit.contracts.component import Component, RecipeFile
    from taskkit.contracts.data import Batch, DataModule
    from taskkit.contracts.facts import (
        Classes,
        DataProblem,
        DataSpec,
        Example,
        Fact,
        Line,
        Origin,
        Prediction,
        SelfSupervised,
        Split,
    )
    from taskkit.contracts.hookspecs import hookimpl
    from taskkit.contracts.model import Model, Processor, Sample, Unit
    from taskkit.contracts.settings import ClassificationSection, NoOptions, setting
    from taskkit.contracts.task import Headline, Step, Table, Task
    from taskkit.data.quality import Look, copies, named, skew
    from taskkit.data.sources import Debian, Download, Installed, Local, PyPI, fetch
    from taskkit.data.splits import by_share, position, stratified
    from taskkit.data.tables import SPLIT_NAMES, TableFile, more, read_table
    from taskkit.errors import (
        CheckpointError,
        DataError,
        PluginError,
        RecipeError,
        RunFailedError,
        SourceError,
        TaskkitError,
    )
    from taskkit.loaded_run import LoadedRun, load_run

_HOMES = {
    "api": ("resume", "run"),
    "loaded_run": ("LoadedRun", "load_run"),
    "cachedir": ("cache_directory",),
    "contracts.classification": ("Classification",),
    "contracts.component": ("Component", "RecipeFile"),
    "contracts.data": ("Batch", "DataModule"),
    "errors": (
        "CheckpointError",
        "DataError",
        "PluginError",
        "RecipeError",
        "RunFailedError",
        "SourceError",
        "TaskkitError",
    ),
    "contracts.hookspecs": ("hookimpl",),
    "contracts.model": ("Model", "Processor", "Sample", "Unit"),
    "data.quality": ("Look", "copies", "named", "skew"),
    "contracts.settings": ("ClassificationSection", "NoOptions", "setting"),
    "data.sources": ("Debian", "Download", "Installed", "Local", "PyPI", "fetch"),
    "contracts.facts": (
        "Classes",
        "DataProblem",
        "DataSpec",
        "Example",
        "Fact",
        "Line",
        "Origin",
        "Prediction",
        "SelfSupervised",
        "Split",
    ),
    "data.splits": ("by_share", "position", "stratified"),
    "data.tables": ("SPLIT_NAMES", "TableFile", "more", "read_table"),
    "contracts.task": ("Headline", "Step", "Table", "Task"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "SPLIT_NAMES",
    "Batch",
    "CheckpointError",
    "Classes",
    "Classification",
    "ClassificationSection",
    "Component",
    "DataError",
    "DataModule",
    "DataProblem",
    "DataSpec",
    "Debian",
    "Download",
    "Example",
    "Fact",
    "Headline",
    "Installed",
    "Line",
    "LoadedRun",
    "Local",
    "Look",
    "Model",
    "NoOptions",
    "Origin",
    "PluginError",
    "Prediction",
    "Processor",
    "PyPI",
    "RecipeError",
    "RecipeFile",
    "RunFailedError",
    "Sample",
    "SelfSupervised",
    "SourceError",
    "Split",
    "Step",
    "Table",
    "TableFile",
    "Task",
    "TaskkitError",
    "Unit",
    "by_share",
    "cache_directory",
    "copies",
    "fetch",
    "hookimpl",
    "load_run",
    "more",
    "named",
    "position",
    "read_table",
    "resume",
    "run",
    "setting",
    "skew",
    "stratified",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'taskkit' has no attribute {name!r}")
    return getattr(importlib.import_module(f"taskkit.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
