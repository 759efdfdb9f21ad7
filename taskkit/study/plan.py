"""From a study file to its cells: each is one run, checked whole before the first begins."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from taskkit.errors import Problem, RecipeError
from taskkit.plugins.discovery import Plugins
from taskkit.recipe.load import Resolved, load
from taskkit.runs.record import short_change
from taskkit.study.file import Entry, StudyFile


@dataclass(frozen=True)
class Cell:
    """One run of a study."""

    name: str
    """Its directory, relative to that of the study: `mlp/seed=1`."""
    recipe: str
    """What the study calls the recipe."""
    values: Mapping[str, Any]
    """What the study varies in it, by dotted key."""
    words: tuple[str, ...]
    """What `taskkit run` is called with: recipe files and changes."""
    resolved: Resolved

    @property
    def plain(self) -> Any:
        """The whole recipe as run.json has it."""
        return json.loads(json.dumps(self.resolved.plain()))


@dataclass(frozen=True)
class _Change:
    """A change of a recipe, and where in the study file it stands."""

    key: str
    value: Any
    place: str

    @property
    def word(self) -> str:
        """As `taskkit run` takes it."""
        return f"{self.key}={json.dumps(self.value)}"


def plan(file: StudyFile, plugins: Plugins) -> list[Cell]:
    """The cells of a study in the order in which they begin; raises RecipeError with everything that is wrong.

    Of recipes and varied values the last one changes first.
    """
    cells, problems = list[Cell](), dict[Problem, dict[str, None]]()
    for name, entry in file.entries.items():
        fixed = [*_own(file, name, entry), *_budget(file)]
        for values in _combinations(file):
            changes = [*fixed, *values]
            try:
                cells.append(_cell(name, entry, changes, {each.key: each.value for each in values}, plugins))
            except RecipeError as error:
                for each in error.problems:
                    problems.setdefault(_placed(each, changes, file, name), {})[name] = None
    told = [_told(problem, [*recipes], len(file.entries)) for problem, recipes in problems.items()]
    told += _unreportable(file, cells)
    if told:
        raise RecipeError(told)
    return _named_apart(cells)


def _unreportable(file: StudyFile, cells: Sequence[Cell]) -> Iterator[Problem]:
    """A report, which shows examples, would lie beside runs that are encrypted."""
    if file.study.report and any(cell.resolved.recipe.privacy.encrypt for cell in cells):
        message = (
            "report is true, and runs are encrypted (privacy.encrypt), while a report, which shows examples, is not. "
            "Set it to false."
        )
        yield Problem(file.place("report"), "report", message)


def _own(file: StudyFile, name: str, entry: Entry) -> Iterator[_Change]:
    for key, value in entry.changes.items():
        yield _Change(key, value, file.place("recipes", name, "changes", key))


def _budget(file: StudyFile) -> Iterator[_Change]:
    if (budget := file.study.budget) is not None:
        yield _Change("trainer.max_epochs", None, file.place("budget"))
        yield _Change("trainer.max_steps", budget.steps, file.place("budget", "steps"))


def _combinations(file: StudyFile) -> Iterator[Sequence[_Change]]:
    varied = [
        [_Change(key, value, file.place("vary", key, str(number))) for number, value in enumerate(values)]
        for key, values in file.study.vary.items()
    ]
    yield from product(*varied)


def _cell(recipe: str, entry: Entry, changes: Sequence[_Change], values: Mapping[str, Any], plugins: Plugins) -> Cell:
    files, words = [entry.recipe, *entry.overlays], [each.word for each in changes]
    resolved = load(files, words, plugins)
    rest = [short_change(tuple(key.split(".")), value) for key, value in values.items() if key != "seed"]
    name = f"{recipe}/{'_'.join([f'seed={resolved.recipe.seed}', *rest])}"
    return Cell(name, recipe, values, (*files, *words), resolved)


def _named_apart(cells: Sequence[Cell]) -> list[Cell]:
    """The same with names of which no two are one, and which do not depend on what else there is."""
    names = [cell.name for cell in cells]
    return [
        cell if names.count(cell.name) == 1 else replace(cell, name=f"{cell.name}_{_digest(cell)}") for cell in cells
    ]


def _digest(cell: Cell) -> str:
    return hashlib.sha256(json.dumps(cell.values, sort_keys=True).encode()).hexdigest()[:8]


def _placed(problem: Problem, changes: Sequence[_Change], file: StudyFile, recipe: str) -> Problem:
    """The problem with its place in the study file, where it is of a change that stands there."""
    if not problem.where:
        return replace(problem, where=file.place("recipes", recipe))
    for change in changes:
        if problem.where == f"override {change.word[:200]!r}":
            return replace(problem, where=change.place)
    return problem


def _told(problem: Problem, recipes: Sequence[str], of: int) -> Problem:
    """The problem with the recipes that have it, where others do not."""
    if len(recipes) == of:
        return problem
    return replace(problem, message=f"{problem.message} (In {', '.join(recipes)}.)")
