"""taskkit: train, evaluate, compare and hand over models of any modality from one recipe file.

The names below are public. They are imported when they are first used, so that `import taskkit` loads no torch.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from taskkit.described import described

if TYPE_CHECKING:
    from taskkit.api import resume, run
    from taskkit.cachedir import cache_directory, file_sha256
    from taskkit.contracts.arrays import ArrayClassification, ArrayProcessor, Arrays, ArrayTask
    from taskkit.contracts.classification import Classification
    from taskkit.contracts.component import Component, PluginInfo, RecipeFile, recipes_in
    from taskkit.contracts.data import Batch, DataModule, Prepared, Stream
    from taskkit.contracts.deprecation import deprecated
    from taskkit.contracts.explained import Explained, Places
    from taskkit.contracts.facts import (
        Attachment,
        Catalogue,
        Classes,
        DataProblem,
        DataSpec,
        Example,
        Fact,
        Origin,
        Prediction,
        Record,
        SelfSupervised,
        Split,
        TextLine,
        Values,
        Word,
    )
    from taskkit.contracts.guess import Guess, UserData
    from taskkit.contracts.hookspecs import hookimpl
    from taskkit.contracts.model import Model, Processor, Sample, Samples, Unit
    from taskkit.contracts.regression import Regression
    from taskkit.contracts.settings import (
        CLASSIFICATION_METRICS,
        REGRESSION_METRICS,
        ClassificationOptions,
        ClassificationSection,
        NoOptions,
        Problems,
        PseudonymSection,
        RegressionSection,
        setting,
    )
    from taskkit.contracts.statistics import Gaps, Mean, NoInterval, Of, Ratio, Statistic
    from taskkit.contracts.task import Headline, Results, Step, Table, Task
    from taskkit.contracts.weighted import (
        calibration_gaps,
        macro_f1,
        macro_precision,
        macro_recall,
        mean_r2,
        r2,
        root_mean,
    )
    from taskkit.data.documents import not_utf8, open_utf8
    from taskkit.data.fetch import fetch
    from taskkit.data.files import WRITTEN_BY_SYSTEMS, find_files, find_names, read_json_lines
    from taskkit.data.inputs import read_inputs, read_row
    from taskkit.data.memory import FileMemory
    from taskkit.data.pseudonyms import PseudonymKey
    from taskkit.data.quality import ExampleLook, find_duplicates, find_imbalance, first_ids
    from taskkit.data.sources import Debian, Download, Installed, Local, PyPI, Url
    from taskkit.data.splits import by_share, hash_fraction, stratified
    from taskkit.data.tables import (
        SPLIT_NAMES,
        TABLE_SUFFIXES,
        TableFile,
        and_more,
        decimal_points,
        read_table,
        table_problems,
    )
    from taskkit.data.userdata import class_columns
    from taskkit.errors import (
        CheckpointError,
        DataError,
        PluginError,
        RecipeError,
        RunFailedError,
        SourceError,
        TaskkitError,
    )
    from taskkit.explanation.explain import explain
    from taskkit.explanation.value import Explanation
    from taskkit.handover.loaded_export import LoadedExport, load_export
    from taskkit.loaded_run import LoadedRun, load_run
    from taskkit.wording import did_you_mean, path_text, percent

_HOMES = {
    "api": ("resume", "run"),
    "handover.loaded_export": ("LoadedExport", "load_export"),
    "loaded_run": ("LoadedRun", "load_run"),
    "cachedir": ("cache_directory", "file_sha256"),
    "contracts.arrays": ("ArrayClassification", "ArrayProcessor", "ArrayTask", "Arrays"),
    "contracts.classification": ("Classification",),
    "contracts.component": ("Component", "PluginInfo", "RecipeFile", "recipes_in"),
    "contracts.data": ("Batch", "DataModule", "Prepared", "Stream"),
    "contracts.deprecation": ("deprecated",),
    "errors": (
        "CheckpointError",
        "DataError",
        "PluginError",
        "RecipeError",
        "RunFailedError",
        "SourceError",
        "TaskkitError",
    ),
    "contracts.explained": ("Explained", "Places"),
    "explanation.explain": ("explain",),
    "explanation.value": ("Explanation",),
    "contracts.guess": ("Guess", "UserData"),
    "contracts.hookspecs": ("hookimpl",),
    "contracts.model": ("Model", "Processor", "Sample", "Samples", "Unit"),
    "data.fetch": ("fetch",),
    "data.documents": ("not_utf8", "open_utf8"),
    "data.files": ("WRITTEN_BY_SYSTEMS", "find_files", "find_names", "read_json_lines"),
    "data.memory": ("FileMemory",),
    "data.inputs": ("read_inputs", "read_row"),
    "data.pseudonyms": ("PseudonymKey",),
    "data.quality": ("ExampleLook", "find_duplicates", "first_ids", "find_imbalance"),
    "contracts.regression": ("Regression",),
    "contracts.settings": (
        "CLASSIFICATION_METRICS",
        "REGRESSION_METRICS",
        "ClassificationOptions",
        "ClassificationSection",
        "NoOptions",
        "Problems",
        "PseudonymSection",
        "RegressionSection",
        "setting",
    ),
    "data.sources": ("Debian", "Download", "Installed", "Local", "PyPI", "Url"),
    "contracts.facts": (
        "Attachment",
        "Catalogue",
        "Classes",
        "DataProblem",
        "DataSpec",
        "Example",
        "Fact",
        "Origin",
        "Prediction",
        "Record",
        "SelfSupervised",
        "Split",
        "TextLine",
        "Values",
        "Word",
    ),
    "data.splits": ("by_share", "hash_fraction", "stratified"),
    "data.tables": (
        "SPLIT_NAMES",
        "TABLE_SUFFIXES",
        "TableFile",
        "and_more",
        "decimal_points",
        "read_table",
        "table_problems",
    ),
    "data.userdata": ("class_columns",),
    "contracts.statistics": ("Gaps", "Mean", "NoInterval", "Of", "Ratio", "Statistic"),
    "contracts.weighted": (
        "calibration_gaps",
        "macro_f1",
        "macro_precision",
        "macro_recall",
        "mean_r2",
        "r2",
        "root_mean",
    ),
    "contracts.task": ("Headline", "Results", "Step", "Table", "Task"),
    "wording": ("did_you_mean", "path_text", "percent"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "CLASSIFICATION_METRICS",
    "REGRESSION_METRICS",
    "SPLIT_NAMES",
    "TABLE_SUFFIXES",
    "WRITTEN_BY_SYSTEMS",
    "ArrayClassification",
    "ArrayProcessor",
    "ArrayTask",
    "Arrays",
    "Attachment",
    "Batch",
    "Catalogue",
    "CheckpointError",
    "Classes",
    "Classification",
    "ClassificationOptions",
    "ClassificationSection",
    "Component",
    "DataError",
    "DataModule",
    "DataProblem",
    "DataSpec",
    "Debian",
    "Download",
    "Example",
    "ExampleLook",
    "Explained",
    "Explanation",
    "Fact",
    "FileMemory",
    "Gaps",
    "Guess",
    "Headline",
    "Installed",
    "LoadedExport",
    "LoadedRun",
    "Local",
    "Mean",
    "Model",
    "NoInterval",
    "NoOptions",
    "Of",
    "Origin",
    "Places",
    "PluginError",
    "PluginInfo",
    "Prediction",
    "Prepared",
    "Problems",
    "Processor",
    "PseudonymKey",
    "PseudonymSection",
    "PyPI",
    "Ratio",
    "RecipeError",
    "RecipeFile",
    "Record",
    "Regression",
    "RegressionSection",
    "Results",
    "RunFailedError",
    "Sample",
    "Samples",
    "SelfSupervised",
    "SourceError",
    "Split",
    "Statistic",
    "Step",
    "Stream",
    "Table",
    "TableFile",
    "Task",
    "TaskkitError",
    "TextLine",
    "Unit",
    "Url",
    "UserData",
    "Values",
    "Word",
    "and_more",
    "by_share",
    "cache_directory",
    "calibration_gaps",
    "class_columns",
    "decimal_points",
    "deprecated",
    "did_you_mean",
    "explain",
    "fetch",
    "file_sha256",
    "find_duplicates",
    "find_files",
    "find_imbalance",
    "find_names",
    "first_ids",
    "hash_fraction",
    "hookimpl",
    "load_export",
    "load_run",
    "macro_f1",
    "macro_precision",
    "macro_recall",
    "mean_r2",
    "not_utf8",
    "open_utf8",
    "path_text",
    "percent",
    "r2",
    "read_inputs",
    "read_json_lines",
    "read_row",
    "read_table",
    "recipes_in",
    "resume",
    "root_mean",
    "run",
    "setting",
    "stratified",
    "table_problems",
]


if "TASKKIT_PLUGIN_FILES" in os.environ:
    # A process that a run started may meet their names before it asks for plugins, as when it unpickles.
    importlib.import_module("taskkit.plugins.files").find_by_name()


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'taskkit' has no attribute {name!r}")
    return described(getattr(importlib.import_module(f"taskkit.{_HOME[name]}"), name))


def __dir__() -> list[str]:
    return __all__
