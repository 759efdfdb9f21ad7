"""Packages that parts of a study need and that taskkit does not bring."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

from taskkit.errors import PluginError
from taskkit.study.file import StudyFile

EXTRAS = {"optuna": "search", "cmaes": "search", "ray": "ray", "submitit": "slurm"}


def check(file: StudyFile) -> None:
    """Raise PluginError where a package is missing that the study needs."""
    search, needed = file.study.search, list[str]()
    if search is not None:
        needed += ["optuna", *(["cmaes"] if search.sampler == "cmaes" else [])]
    needed += {"ray": ["ray"], "slurm": ["submitit"]}.get(file.launch.kind, [])
    for package in needed:
        if find_spec(package) is None:
            raise _missing(package)


def imported(package: str) -> Any:
    """A package; raises PluginError, which says how it is installed, where it is not."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise _missing(package) from error


def _missing(package: str) -> PluginError:
    return PluginError(
        f"The study needs {package}, which is not installed. Install it: pip install 'taskkit-ml[{EXTRAS[package]}]', "
        "or leave out what needs it."
    )
