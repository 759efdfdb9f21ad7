"""What a study file may say, typed, and how one is read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from taskkit.contracts.recipe import Key
from taskkit.contracts.settings import setting, settings
from taskkit.errors import Problem, RecipeError
from taskkit.recipe.coerce import Misfit, to_section
from taskkit.recipe.merge import SIZE, Tree, dotted, file_layer
from taskkit.wording import shown

OURS = ("study.json", "report.html", "ensemble", "trials", "jobs")
"""What lies in the directory of a study, or of a recipe there, beside runs."""


@dataclass
class Entry:
    """A recipe of a study, with changes of its own."""

    recipe: str = setting(doc="a recipe file, or the name of a recipe that a plugin ships")
    overlays: list[str] = setting([], "recipe files that are merged on top, from left to right")
    changes: dict[str, Any] = setting({}, "values on top, by dotted key")


@dataclass
class Budget:
    """How much every run may train."""

    steps: int | None = setting(None, "optimiser steps of each run, instead of what its recipe says", ge=1)
    seconds: float | None = setting(None, "seconds of training, validations included, after which each run ends", gt=0)


@dataclass
class Launch:
    """Where and how many at a time."""

    kind: Literal["local", "ray", "slurm"] = setting(
        "local", "local: processes on this machine; ray: tasks of a cluster of Ray; slurm: jobs, through submitit"
    )
    processes: int = setting(1, "runs at the same time", ge=1, le=1024)
    devices: list[int] = setting([], "local: CUDA devices, which the processes take in turn; none named: all see all")
    cpus: int = setting(1, "ray, slurm: cores of a run", ge=1)
    gpus: float = setting(0.0, "ray, slurm: GPUs of a run; of Ray also a share of one", ge=0)
    address: str | None = setting(None, "ray: the address of a cluster, `auto` of one that is here; null: a local one")
    cluster: Literal["slurm", "local"] = setting("slurm", "slurm: `local` does the same by processes here, to try it")
    minutes: int = setting(60, "slurm: after which a job is ended, saved and submitted again", ge=1)
    partition: str | None = setting(None, "slurm: where jobs are queued; null: the default of the cluster")
    account: str | None = setting(None, "slurm: who is charged; null: the default of the cluster")
    memory: str | None = setting(None, "slurm: memory of a job, such as 16GB; null: the default of the cluster")
    options: dict[str, Any] = setting({}, "slurm: further options of sbatch, by their long names")


@dataclass
class Range:
    """Numbers of which a search takes any."""

    low: int | float = setting(doc="the lowest; whole numbers alone where this and `high` are whole")
    high: int | float = setting(doc="the highest, which may be taken too")
    log: bool = setting(False, "look at orders of magnitude alike, as is right for rates")
    step: int | float | None = setting(None, "take every so many from the lowest on; null: any", gt=0)

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return all(isinstance(each, int) for each in (self.low, self.high, self.step or 1))


@dataclass
class Search:
    """Which values to look for, by validation alone."""

    over: dict[str, list[Any] | Range] = setting(
        doc="keys of a recipe, each with values to choose from, or a range: `{low: 1e-4, high: 1e-1, log: true}`"
    )
    trials: int | None = setting(None, "how many runs; null: 20, of a grid all", ge=1)
    sampler: Literal["tpe", "cmaes", "random", "grid"] = setting("tpe", "how the next values are chosen")
    pruner: Literal["none", "median", "hyperband"] = setting(
        "none", "which runs are stopped early: those below the median of the others, or all but the best of a group"
    )
    metric: str | None = setting(None, "a metric of validation; null: the task's headline")
    mode: Literal["max", "min"] | None = setting(None, "direction of the metric; null: as the task says")
    seed: int = setting(0, "decides which values are tried", ge=0, lt=2**32)


@dataclass
class Study:
    """Many runs from one file."""

    recipes: list[str] | dict[str, str | Entry] = setting(
        doc="recipes, or names and what is meant by each: a recipe, or a mapping with `recipe` and `changes`"
    )
    title: str | None = setting(None, "what the study is called; null: the name of the file")
    vary: dict[str, list[Any]] = setting({}, "keys of a recipe, each with its values: all combinations are run")
    search: Search | None = setting(None, "values that are chosen by validation before anything is tested; null: none")
    folds: int | None = setting(
        None,
        "parts of a cross-validation: each is the test once, and all give one estimate; null: as the data say",
        ge=3,
    )
    ensemble: list[Literal["seeds", "all"]] = setting(
        [], "averages of predictions: `seeds` of each method, `all` runs of one protocol"
    )
    budget: Budget | None = setting(None, "equal compute for all; null: as each recipe says")
    launch: Launch | None = setting(None, "where and how many at a time; null: one after the other, here")
    report: bool = setting(True, "write report.html at the end")


@dataclass(frozen=True)
class StudyFile:
    """A study as it was read, and where in the file everything stands."""

    path: Path
    sha256: str
    study: Study
    places: Mapping[Key, str]
    """`file:line:column` of each value."""

    @property
    def title(self) -> str:
        """What the study is called."""
        return self.study.title or self.path.stem

    @property
    def launch(self) -> Launch:
        """Where the runs are started."""
        return self.study.launch or Launch()

    @property
    def entries(self) -> Mapping[str, Entry]:
        """The recipes by the names that the study has for them."""
        named = self.study.recipes
        if isinstance(named, dict):
            return {name: Entry(entry) if isinstance(entry, str) else entry for name, entry in named.items()}
        return {Path(recipe).stem: Entry(recipe) for recipe in named}

    def place(self, *key: str) -> str:
        """Where a value stands, or what is around it."""
        return next((self.places[key[:end]] for end in range(len(key), -1, -1) if key[:end] in self.places), "")


def read(path: Path) -> StudyFile:
    """Read a study file; raises RecipeError with everything that is wrong with its form."""
    try:
        with path.open("rb") as opened:
            content = opened.read(SIZE + 1)
    except OSError as error:
        why = "there is no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise RecipeError([Problem(str(path), "", f"{why}. A study file was expected, such as study.yaml.")]) from None
    layer = file_layer(str(path), content, "study")
    tree = Tree()
    tree.merge(layer)
    if {"task", "model", "data"} & tree.values.keys() and "recipes" not in tree.values:
        message = f"this is a recipe. Run it: taskkit run {path}. A study names recipes: `recipes: [{path}]`."
        raise RecipeError([Problem(str(path), "", message)])
    try:
        study: Study = to_section(Study, tree.values, (), "a study")
    except Misfit as misfit:
        raise RecipeError([Problem(tree.where(key), dotted(key), said) for key, said in misfit.problems]) from None
    found = StudyFile(path, hashlib.sha256(content).hexdigest(), study, layer.places)
    if problems := [Problem(found.place(*key), dotted(key), said) for key, said in _problems(study)]:
        raise RecipeError(problems)
    return found


def _problems(study: Study) -> Iterator[tuple[Key, str]]:
    """What is wrong with the meaning of values that all have the right type."""
    named = study.recipes
    if not named:
        yield ("recipes",), "recipes names none. At least one was expected, such as recipes/mlp.yaml."
    if isinstance(named, dict):
        for name in named:
            if not name.isprintable() or name.startswith(".") or set(name) & set("/\\"):
                yield ("recipes", name), f"recipes: {name!r} names a folder. A word without / was expected."
        names = {("recipes", name): name for name in named}
    else:
        stems = [Path(recipe).stem for recipe in named]
        for number, stem in enumerate(stems):
            if stem in stems[:number]:
                yield (
                    ("recipes", str(number)),
                    f"recipes: {named[number]} would be called {stem}, as another is. Give them names: "
                    f"`{{{stem}: {named[number]}, another: …}}`.",
                )
        names = {("recipes", str(number)): stem for number, stem in enumerate(stems)}
    for place, name in names.items():
        if name.lower() in OURS:
            yield place, f"recipes: {name} is what the study itself writes. Give it a name: `{{my_{name}: …}}`."
    for key, values in study.vary.items():
        if not values:
            yield ("vary", key), f"vary.{key} has no values. At least one was expected."
        for number, value in enumerate(values):
            if value in values[:number]:
                yield ("vary", key, str(number)), f"vary.{key} has {shown(value)} twice. Leave one out."
    if study.folds is not None and study.search is not None:
        yield (
            ("folds",),
            "folds and search: what the search saw would be tested too. Leave one of them out, or search in a study of "
            "its own.",
        )
    for key in ("loader.folds", "loader.fold"):
        if key in study.vary:
            yield ("vary", key), f"vary.{key} is what `folds` sets. Write `folds: 5` for a cross-validation."
    if "seeds" in study.ensemble and len(study.vary.get("seed", ())) < 2:
        yield ("ensemble",), "ensemble of seeds: there are none to average. Write `vary: {seed: [1, 2, 3]}`."
    if study.search is not None:
        yield from _search_problems(study.search, study.vary)
    if study.launch is not None:
        yield from _launch_problems(study.launch)
    if study.budget is not None:
        if (study.budget.steps is None) == (study.budget.seconds is None):
            yield ("budget",), "budget: either steps or seconds were expected. Give one of them."
        for key in ("trainer.max_steps", "trainer.max_epochs", "trainer.max_time"):
            if key in study.vary:
                yield ("vary", key), f"vary.{key} contradicts budget, which sets it for all. Leave one of them out."


def _search_problems(search: Search, vary: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """Ranges without numbers, and keys that would be set twice."""
    if not search.over:
        yield ("search", "over"), "search.over names no key. At least one was expected, such as optim.lr."
    if search.mode is not None and search.metric is None:
        yield (
            ("search", "mode"),
            f"search.mode is {search.mode} without a metric, and the task knows how its own goes. Name one, or remove "
            "mode.",
        )
    for key, values in search.over.items():
        at, name = ("search", "over", key), f"search.over.{key}"
        if key in vary:
            yield at, f"{name} is varied too. A key is chosen by a search or varied after it. Leave one out."
        if key.startswith(("trainer.limit_test", "trainer.limit_val", "loader.fold")) or key == "seed":
            yield at, f"{name} cannot be searched: it would not make a better model. Leave it out."
        if isinstance(values, list):
            if not values:
                yield at, f"{name} has no values. At least one was expected."
            continue
        if values.low >= values.high:
            yield at, f"{name} is from {shown(values.low)} to {shown(values.high)}. A low below its high was expected."
        if values.log and (values.low <= 0 or values.step is not None):
            yield at, f"{name} is by orders of magnitude. A low above 0 and no step were expected."
        if search.sampler == "grid" and values.step is None:
            yield at, f"{name} is a range, of which a grid has no end. Values, or a step, were expected."


_OF_KINDS: Mapping[str, tuple[str, ...]] = {
    "local": ("devices",),
    "ray": ("cpus", "gpus", "address"),
    "slurm": ("cpus", "gpus", "cluster", "minutes", "partition", "account", "memory", "options"),
}


def _launch_problems(launch: Launch) -> Iterator[tuple[Key, str]]:
    """Settings of another kind, which nobody would heed."""
    heeded = ("kind", "processes", *_OF_KINDS[launch.kind])
    for field in settings(Launch):
        if field.name not in heeded and getattr(launch, field.name) != field.default:
            kinds = " or ".join(kind for kind, names in _OF_KINDS.items() if field.name in names)
            yield (
                ("launch", field.name),
                f"launch.{field.name} is of kind {kinds}, and launch.kind is {launch.kind}. Leave one of them out.",
            )
    if launch.kind == "slurm" and not launch.gpus.is_integer():
        yield ("launch", "gpus"), f"launch.gpus is {launch.gpus:g}. SLURM gives whole ones. Write 1, or leave it out."
