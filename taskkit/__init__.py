"""taskkit: train, evaluate, compare and hand over models of any modality from one recipe file.

The names below are public. They are imported when they are first used, so that `import taskkit` loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskkit.api import LoadedRun, load_run, resume, run
    from taskkit.classification import Classification
    from taskkit.component import Component, RecipeFile
    from taskkit.data import Batch, DataModule
    from taskkit.errors import (
        CheckpointError,
        DataError,
        PluginError,
        RecipeError,
        RunFailedError,
        SourceError,
        TaskkitError,
    )
    from taskkit.hookspecs import hookimpl
    from taskkit.model import Model, Processor, Sample, Unit
    from taskkit.quality import Look, copies, named, skew
    from taskkit.section import ClassificationSection, NoOptions, setting
    from taskkit.sources import Debian, Download, Installed, Local, PyPI, cache_directory, fetch
    from taskkit.spec import (
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
    from taskkit.splits import by_share, position, stratified
    from taskkit.tables import SPLIT_NAMES, TableFile, more, read_table
    from taskkit.task import Headline, Step, Table, Task

_HOMES = {
    "api": ("LoadedRun", "load_run", "resume", "run"),
    "classification": ("Classification",),
    "component": ("Component", "RecipeFile"),
    "data": ("Batch", "DataModule"),
    "errors": (
        "CheckpointError",
        "DataError",
        "PluginError",
        "RecipeError",
        "RunFailedError",
        "SourceError",
        "TaskkitError",
    ),
    "hookspecs": ("hookimpl",),
    "model": ("Model", "Processor", "Sample", "Unit"),
    "quality": ("Look", "copies", "named", "skew"),
    "section": ("ClassificationSection", "NoOptions", "setting"),
    "sources": ("Debian", "Download", "Installed", "Local", "PyPI", "cache_directory", "fetch"),
    "spec": (
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
    "splits": ("by_share", "position", "stratified"),
    "tables": ("SPLIT_NAMES", "TableFile", "more", "read_table"),
    "task": ("Headline", "Step", "Table", "Task"),
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
