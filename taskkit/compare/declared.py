"""How metrics follow from rows, as run.json says it, and back; no module is imported at a run's word."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from taskkit.contracts.component import Direction
from taskkit.contracts.statistics import Gaps, Mean, NoInterval, Of, Ratio, Statistic
from taskkit.contracts.weighted import FUNCTIONS

OURS = {f"taskkit:{name}": function for name, function in FUNCTIONS.items()}

NONE = "none"
"""The form of a metric that has no interval."""


def written(statistic: Statistic | NoInterval, direction: Direction | None) -> dict[str, Any]:
    """A statistic as plain data, with the way in which its metric is better; or why there is none."""
    if isinstance(statistic, NoInterval):
        return {"form": NONE, "reason": statistic.reason, "direction": direction}
    said: dict[str, Any] = {"form": type(statistic).__name__.lower()}
    if isinstance(statistic, Of):
        said["function"] = statistic.reference
    return {**said, "columns": list(statistic.columns), "ideal": statistic.ideal, "direction": direction}


def read_back(said: Mapping[str, Any], declared: Iterable[str]) -> Statistic | None:
    """The statistic of plain data; None: its function is not installed, or of a form that nobody knows.

    `declared` are the import paths of the functions of the installed tasks: no other module is imported.
    """
    columns, ideal = tuple(said.get("columns", ())), said.get("ideal")
    match said.get("form"), columns:
        case "mean", (column,):
            return Mean(column, ideal)
        case "ratio", (above, below):
            return Ratio(above, below, ideal)
        case "of", _ if (function := _function(str(said.get("function")), declared)) is not None:
            return Of(function, columns, ideal)
        case "gaps", _ if (function := _function(str(said.get("function")), declared)) is not None:
            return Gaps(function, columns, ideal)
    return None


def undeclared(statistic: Statistic | NoInterval, declared: Iterable[str]) -> str:
    """The function of a statistic that could not be found again; empty when there is none such."""
    if not isinstance(statistic, Of) or statistic.reference in OURS or statistic.reference in declared:
        return ""
    return statistic.reference


def _function(reference: str, declared: Iterable[str]) -> Callable[..., Any] | None:
    if reference in OURS:
        return OURS[reference]
    if reference not in declared:
        return None
    module, _, name = reference.partition(":")
    function: Callable[..., Any] | None = getattr(importlib.import_module(module), name, None)
    return function
