"""A look at a run's data: raw examples as a person sees them, what is wrong with them, and how classes are spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from taskkit.contracts.data import Prepared, Stream
from taskkit.contracts.facts import SPLITS, Classes, Example, Severity
from taskkit.engine import build
from taskkit.engine.guard import calling
from taskkit.errors import TaskkitError
from taskkit.plugins.registry import Plugins
from taskkit.recipe import load as recipes
from taskkit.report.look import Look
from taskkit.runs.manifest import Manifest

SEARCHED = 100_000
"""So many examples are looked through for one that does not stand where its row does."""


def look(run: Manifest, plugins: Plugins, wanted: Mapping[str, int]) -> Look:
    """Prepare a run's data again and look at some test examples, by id and the row that each is in.

    Whatever goes wrong is told in the look: a report is made without it.
    """
    try:
        recipe = recipes.from_plain(run.resolved, plugins)
        prepared = build.prepare(build.data_module(recipe), recipe)
        if run.data is not None and prepared.spec.fingerprint != run.data.fingerprint:
            return Look("The data are others now than when this run was made, so that none of them is shown.")
        with calling(recipe.data, f"{type(prepared.spec.input).__name__}.show"):
            shown = _shown(prepared, wanted)
        with calling(recipe.data, "inspect"):
            problems = sorted(prepared.inspect(), key=lambda each: get_args(Severity).index(each.severity))
    except (TaskkitError, OSError) as error:
        return Look(f"The data could not be had: {error}")
    target = prepared.spec.target
    counts = dict(zip(target.names, target.counts, strict=False)) if isinstance(target, Classes) else {}
    return Look("", shown, tuple(problems), counts)


def _shown(prepared: Prepared, wanted: Mapping[str, int]) -> dict[str, Any]:
    examples = prepared.examples(SPLITS[-1])
    if isinstance(examples, Stream):
        return {}
    found = _found(examples, wanted)
    return {name: prepared.spec.input.show(example.input) for name, example in found.items()}


def _found(examples: Sequence[Example], wanted: Mapping[str, int]) -> dict[str, Example]:
    """The examples of these ids: where their rows are, or wherever they are."""
    found = dict[str, Example]()
    for name, row in wanted.items():
        if row < len(examples) and (example := examples[row]).id == name:
            found[name] = example
    lacking = wanted.keys() - found.keys()
    for number in range(min(len(examples), SEARCHED) if lacking else 0):
        if (example := examples[number]).id in lacking:
            found[example.id] = example
    return found
