"""From a study file to its cells: each is one run, checked whole before the first begins."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from taskkit.contracts.recipe import Recipe
from taskkit.errors import Problem, RecipeError
from taskkit.plugins.discovery import Plugins
from taskkit.recipe.load import Resolved, load
from taskkit.runs.record import short_change
from taskkit.study.file import Entry, Range, Search, StudyFile
from taskkit.wording import did_you_mean


@dataclass(frozen=True)
class Cell:
    """One run of a study."""

    method: str
    """What it is a run of, and where that is in the study's directory: `mlp/seed=1`."""
    recipe: str
    """What the study calls the recipe."""
    values: Mapping[str, Any]
    """What the study varies in it, by dotted key."""
    words: tuple[str, ...]
    """What `taskkit run` is called with: recipe files and changes."""
    resolved: Resolved
    fold: int | None = None
    """Of a cross-validation, counted from 0."""

    @property
    def name(self) -> str:
        """Its directory, relative to that of the study; of a fold below that of its method."""
        return self.method if self.fold is None else f"{self.method}/fold={self.fold}"

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


Chosen = Mapping[str, Mapping[str, Any]]
"""For each recipe the values that its search chose, by dotted key."""
NO_TEST = "trainer.limit_test_batches=0"


def plan(file: StudyFile, plugins: Plugins, chosen: Chosen | None = None) -> list[Cell]:
    """The cells of a study that are tested, in the order in which they begin; raises RecipeError with everything wrong.

    Of recipes and varied values the last one changes first.
    """
    cells, problems = list[Cell](), dict[Problem, dict[str, None]]()
    for name, entry in file.entries.items():
        fixed = [*_own(file, name, entry), *_budget(file), *_found(file, (chosen or {}).get(name, {}))]
        for values in _combinations(file):
            changes = [*fixed, *values]
            try:
                cells += _cells(file, name, entry, changes, {each.key: each.value for each in values}, plugins)
            except RecipeError as error:
                for each in error.problems:
                    problems.setdefault(_placed(each, changes, file, name), {})[name] = None
    told = [_told(problem, [*recipes], len(file.entries)) for problem, recipes in problems.items()]
    told += _unreportable(file, cells)
    if not told and file.study.search is not None:
        told += _search_problems(file, file.study.search, plugins)
    if told:
        raise RecipeError(told)
    return _named_apart(cells)


def trial(file: StudyFile, recipe: str, number: int, values: Mapping[str, Any], plugins: Plugins) -> Cell:
    """One run of a search, without its test; raises RecipeError where the values do not go together."""
    entry = file.entries[recipe]
    changes = [*_own(file, recipe, entry), *_budget(file), *_found(file, values)]
    files, words = [entry.recipe, *entry.overlays], [*(each.word for each in changes), NO_TEST]
    try:
        resolved = load(files, words, plugins)
    except RecipeError as error:
        raise RecipeError([_placed(each, changes, file, recipe) for each in error.problems]) from None
    return Cell(f"{recipe}/trials/{number}", recipe, values, (*files, *words), resolved)


def start_of(file: StudyFile, recipe: str, plugins: Plugins) -> Mapping[str, Any] | None:
    """The values of a recipe as it is, where a search may take them; None: it may not."""
    search = file.study.search
    assert search is not None
    recipe_is = _flat(trial(file, recipe, 0, {}, plugins).resolved.plain())
    values = {key: recipe_is.get(key) for key in search.over}
    return values if all(_holds(search.over[key], value) for key, value in values.items()) else None


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found[f"{before}{name}"] = value
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{name}.")
    return found


def _holds(values: Sequence[Any] | Range, value: Any) -> bool:
    if not isinstance(values, Range):
        return value in values
    if not isinstance(value, int | float) or isinstance(value, bool) or not values.low <= value <= values.high:
        return False
    if values.whole and value != int(value):
        return False
    return values.step is None or math.isclose((value - values.low) / values.step % 1, 0, abs_tol=1e-9)


def _search_problems(file: StudyFile, search: Search, plugins: Plugins) -> list[Problem]:
    """What is wrong with each value of a search by itself, and with what it watches."""
    problems = dict[Problem, dict[str, None]]()
    for recipe in file.entries:
        first = trial(file, recipe, 0, {}, plugins).resolved.recipe
        for problem in _unwatchable(file, search, first):
            problems.setdefault(problem, {})[recipe] = None
        for key, values in search.over.items():
            for value in [values.low, values.high] if isinstance(values, Range) else values:
                try:
                    trial(file, recipe, 0, {key: value}, plugins)
                except RecipeError as error:
                    for problem in error.problems:
                        problems.setdefault(problem, {})[recipe] = None
    return [_told(problem, [*recipes], len(file.entries)) for problem, recipes in problems.items()]


def _unwatchable(file: StudyFile, search: Search, recipe: Recipe) -> Iterator[Problem]:
    if recipe.trainer.limit_val_batches == 0:
        yield Problem(
            file.place("search"), "search", "trainer.limit_val_batches is 0, and a search chooses by validation."
        )
    if search.metric is None:
        return
    task, metric = recipe.task.component, search.metric.removeprefix("val/")
    right, at = task.direction(metric), file.place("search", "metric")
    if search.metric.startswith(("test/", "train/")):
        yield Problem(at, "search.metric", f"search.metric is {search.metric!r}. A metric of validation was expected.")
    elif right is None and task.metrics:
        known = [*task.metrics, "loss"]
        yield Problem(
            at,
            "search.metric",
            f"search.metric is {search.metric!r}, which is no metric of {task.name}. Expected one of "
            f"{', '.join(known)}.{did_you_mean(metric, known)}",
        )
    elif right is None and search.mode is None:
        yield Problem(at, "search.metric", f"{task.name} does not say which way {metric} is better. Add search.mode.")


def _found(file: StudyFile, values: Mapping[str, Any]) -> Iterator[_Change]:
    for key, value in values.items():
        yield _Change(key, value, file.place("search", "over", key))


def _unreportable(file: StudyFile, cells: Sequence[Cell]) -> Iterator[Problem]:
    """A report, or averages of predictions, which show examples, would lie beside runs that are encrypted."""
    key = "folds" if file.study.folds is not None else "ensemble" if file.study.ensemble else ""
    if key and any(cell.resolved.recipe.privacy.encrypt for cell in cells):
        message = (
            f"{key}: runs are encrypted (privacy.encrypt), and what is made of their answers is not. Leave it out."
        )
        yield Problem(file.place(key), key, message)
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
    if (budget := file.study.budget) is None:
        return
    if budget.seconds is not None:
        yield _Change("trainer.max_time", budget.seconds, file.place("budget", "seconds"))
    else:
        yield _Change("trainer.max_epochs", None, file.place("budget"))
        yield _Change("trainer.max_steps", budget.steps, file.place("budget", "steps"))


def _combinations(file: StudyFile) -> Iterator[Sequence[_Change]]:
    varied = [
        [_Change(key, value, file.place("vary", key, str(number))) for number, value in enumerate(values)]
        for key, values in file.study.vary.items()
    ]
    yield from product(*varied)


def _cells(
    file: StudyFile,
    recipe: str,
    entry: Entry,
    changes: Sequence[_Change],
    values: Mapping[str, Any],
    plugins: Plugins,
) -> Iterator[Cell]:
    """One cell, or one for each fold."""
    if file.study.folds is None:
        yield _cell(recipe, entry, changes, values, plugins)
        return
    place = file.place("folds")
    for fold in range(file.study.folds):
        folded = [_Change("loader.folds", file.study.folds, place), _Change("loader.fold", fold, place)]
        yield replace(_cell(recipe, entry, [*changes, *folded], values, plugins), fold=fold)


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
        cell if names.count(cell.name) == 1 else replace(cell, method=f"{cell.method}_{_digest(cell)}")
        for cell in cells
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
