"""A look at a run's data: raw examples as a person sees them, what is wrong with them, and how classes are spread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import get_args

from taskkit.contracts.data import Stream
from taskkit.contracts.facts import SPLITS, Classes, Example, Severity
from taskkit.engine import build
from taskkit.engine.guard import calling
from taskkit.errors import TaskkitError
from taskkit.explanation.value import Explanation
from taskkit.loaded_run import LoadedRun
from taskkit.plugins.registry import Plugins
from taskkit.recipe import load as recipes
from taskkit.report.look import Look
from taskkit.runs.manifest import Manifest

EXPLAINED = 4
"""So many answers are explained where that is asked for."""
SEARCHED = 100_000
"""So many examples are looked through for one that does not stand where its row does."""


def look(
    run: Manifest, plugins: Plugins, wanted: Mapping[str, int], explained: Callable[[], LoadedRun] | None = None
) -> Look:
    """Prepare a run's data again and look at some test examples, by id and the row that each is in.

    The answers to the first of them are explained where `explained` opens the run.

    Whatever goes wrong is told in the look: a report is made without it.
    """
    try:
        recipe = recipes.from_plain(run.resolved, plugins)
        prepared = build.prepare(build.data_module(recipe), recipe)
        if run.data is not None and prepared.spec.fingerprint != run.data.fingerprint:
            return Look("The data are others now than when this run was made, so that none of them is shown.")
        examples = _found(prepared.examples(SPLITS[-1]), wanted)
        with calling(recipe.data, f"{type(prepared.spec.input).__name__}.show"):
            shown = {name: prepared.spec.input.show(example.input) for name, example in examples.items()}
        found = () if explained is None else _explained(explained(), [*examples.values()][:EXPLAINED])
        with calling(recipe.data, "inspect"):
            problems = sorted(prepared.inspect(), key=lambda each: get_args(Severity).index(each.severity))
    except (TaskkitError, OSError) as error:
        return Look(f"The data could not be had: {error}")
    target = prepared.spec.target
    counts = dict(zip(target.names, target.counts, strict=False)) if isinstance(target, Classes) else {}
    return Look("", shown, tuple(problems), counts, tuple(found))


def _explained(run: LoadedRun, examples: Sequence[Example]) -> list[Explanation]:
    from taskkit.explanation.explain import explain_examples

    _, answering = run.answerer.predict_options
    return explain_examples(run.answerer, examples, answering())


def _found(examples: Sequence[Example] | Stream, wanted: Mapping[str, int]) -> dict[str, Example]:
    """The examples of these ids: where their rows are, or wherever they are."""
    found = dict[str, Example]()
    if isinstance(examples, Stream):
        return found
    for name, row in wanted.items():
        if row < len(examples) and (example := examples[row]).id == name:
            found[name] = example
    lacking = wanted.keys() - found.keys()
    for number in range(min(len(examples), SEARCHED) if lacking else 0):
        if (example := examples[number]).id in lacking:
            found[example.id] = example
    return found
