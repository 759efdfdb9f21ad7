"""Recipes changed at random: none ends in a traceback, and what `check` finds nothing wrong with starts.

`make fuzz` does the same for thousands, with other changes each time, and prints what came of them.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from taskkit import hookimpl
from taskkit.api import start
from taskkit.contracts.recipe import SECTIONS, root_settings
from taskkit.contracts.settings import Setting
from taskkit.contracts.settings import settings as fields_of
from taskkit.errors import Problem, RecipeError, TaskkitError
from taskkit.plugins.discovery import discover
from taskkit.plugins.registry import Plugins
from taskkit.recipe.dump import document
from taskkit.recipe.load import load

RECIPE: Mapping[str, Mapping[str, Any]] = {
    "task": {"name": "series.forecast"},
    "model": {"name": "series.mlp"},
    "data": {"name": "series.waves", "series": 40},
    "loader": {"batch_size": 4},
    "optim": {"lr": 1e-3},
    "trainer": {"max_epochs": 2, "accelerator": "cpu"},
}
CHECKS = int(os.environ.get("TASKKIT_FUZZ_CHECKS", "250"))
STARTS = int(os.environ.get("TASKKIT_FUZZ_STARTS", "25"))
LONG = "TASKKIT_FUZZ_CHECKS" in os.environ
FALSE_NEGATIVES = 0.01
"""The largest share of the recipes that passed `check` of which some may not start."""

PLACE = {
    ("trainer", name) for name in ("accelerator", "devices", "num_nodes", "strategy", "precision", "sync_batchnorm")
} | {("", "compile"), ("loader", "workers"), ("trainer", "profiler"), ("privacy", "encrypt")}
"""What a machine has or lacks, which no recipe can know; `check_place` answers for it. torch's profiler is here since a
process died, twice, in rounds in which it had run; encryption needs a key."""
LARGE = {("data", "series"), ("data", "length"), ("data", "steps"), ("model", "width"), ("data", "broken")}
"""The plugin's own sizes, which a memory may not hold, and its switch for data that cannot be trained on."""

LATER = (
    "activation_checkpointing",
    "channels_last",
    "optim.warmup",
    "optim.hold",
    "optim.freeze",
    "optim.name",
    "optim.options",
    "optim.phases",
    "loader.batch_size",
    "loader.budget",
    "loader.folds",
    "trainer.limit_",
    "optim: torch.optim.",
)
"""What the number of samples, the network or torch decide: wrong values are refused by these names before a step."""

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["${optim.lr}", "${nowhere}", "${", "???", "auto", "null", "1e400", "-1", "  ", "\x00", "é" * 300]),
    st.lists(st.integers(-2, 2) | st.text(max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=4), st.integers(-2, 2) | st.text(max_size=3), max_size=3),
)
NUMBERS = (0, 1, 2, 3, 7, 50, 0.1, 0.5, 0.999, 1.5, 1e-8, 1e3, 1e9)


def values(hint: Any, bounds: Mapping[str, float]) -> st.SearchStrategy[Any]:
    """Values of a declared type, its edges above all."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, UnionType):
        return st.one_of([values(member, bounds) for member in arguments])
    if origin is list:
        return st.lists(values(arguments[0], bounds), min_size=1, max_size=2)
    if origin is dict:
        return st.dictionaries(
            st.sampled_from(["hidden.*", "head.bias", "eps"]), values(arguments[1], bounds), max_size=2
        )
    if dataclasses.is_dataclass(hint):
        return st.just({})
    edges = [number for number in bounds.values() if number < 1e6]
    numbers = st.sampled_from([*NUMBERS, *edges, *(edge + 1 for edge in edges)])
    return {
        bool: st.booleans(),
        int: numbers.map(int),
        float: numbers.map(float),
        str: st.sampled_from(["adamw", "sgd", "rmsprop", "mae", "val/mae", "loss", "x"]),
        NoneType: st.none(),
        Any: st.sampled_from([1e-8, 0.1, True, "x", -1]),
    }.get(hint, JUNK)


def settings_of(plugins: Plugins) -> dict[tuple[str, str], Setting]:
    """Every field of the recipe by section and name."""
    from taskkit_series import sections

    homes = {**SECTIONS, "task": sections.Forecast, "model": sections.Mlp, "data": sections.Waves}
    inside = {(home, field.name): field for home, section in homes.items() for field in fields_of(section)}
    return inside | {("", field.name): field for field in root_settings()}


def changed(changes: Mapping[tuple[str, str], Any]) -> str:
    """The recipe's text with some of its values, or sections, replaced."""
    recipe: dict[str, Any] = {name: dict(section) for name, section in RECIPE.items()}
    for (section, name), value in changes.items():
        home = recipe.setdefault(section, {}) if section else recipe
        if isinstance(home, dict):
            home[name] = value
    return document(recipe, {})


def problems_of(path: Path, plugins: Plugins) -> Sequence[Problem]:
    try:
        load([path], [], plugins)
    except RecipeError as error:
        return error.problems
    return ()


class OneStep(pl.Callback):
    """Ends training after the first step of the optimiser: that a run starts is what is asked."""

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.global_step > 0


class Ending:
    """A plugin that gives the callback."""

    @hookimpl
    def taskkit_callbacks(self, recipe: Any) -> list[pl.Callback]:
        return [OneStep()]


@pytest.fixture(scope="module")
def plugins(series_site: Path) -> Iterator[Plugins]:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as cache:
        patch.syspath_prepend(str(series_site))
        patch.setenv("TASKKIT_CACHE", cache)
        torch.set_num_threads(1)
        yield discover({"series"}, {"ending": Ending()})
        torch.use_deterministic_algorithms(False)
        torch.autograd.set_detect_anomaly(False)


def examples(count: int) -> Any:
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=not LONG,
        database=None,
        suppress_health_check=[*HealthCheck],
        report_multiple_bugs=LONG,
    )


@pytest.mark.timeout(0 if LONG else 120)
def test_no_recipe_whatever_gives_a_traceback(plugins: Plugins, tmp_path: Path, capsys: Any) -> None:
    known = settings_of(plugins)
    right = st.sampled_from([*known]).flatmap(
        lambda key: st.tuples(st.just(key), values(known[key].type, known[key].bounds) | JUNK)
    )
    wrong = st.tuples(st.tuples(st.sampled_from(["", *RECIPE]), st.sampled_from([*RECIPE, "lrr", "name"])), JUNK)
    cuts = st.lists(
        st.tuples(st.integers(0, 400), st.sampled_from([*"[]{}:,'\"*&!|>#\t\n", "- ", "${", "?"])), max_size=2
    )
    path, came = tmp_path / "any.yaml", Counter[str]()

    @examples(CHECKS)
    @given(st.lists(right | right | wrong, min_size=1, max_size=4).map(dict), cuts)
    def check(changes: Mapping[tuple[str, str], Any], cuts: list[tuple[int, str]]) -> None:
        try:
            text = changed(changes)
        except UnicodeEncodeError:  # a lone half of a character is in no file
            return
        for at, piece in cuts:
            text = text[:at] + piece + text[at:]
        path.write_bytes(text.encode(errors="replace"))
        problems = problems_of(path, plugins)
        assert all(problem.message and "\n" not in str(problem) for problem in problems)
        came["refused" if problems else "passed"] += 1

    check()
    with capsys.disabled():
        if LONG:
            print(f"\nchecked: {dict(came)}; no traceback")


@pytest.mark.timeout(0 if LONG else 120)
def test_what_passes_check_starts(plugins: Plugins, tmp_path: Path, capsys: Any) -> None:
    known = settings_of(plugins)
    free = [key for key in known if key not in PLACE | LARGE]
    change = st.sampled_from(free).flatmap(
        lambda key: st.tuples(st.just(key), values(known[key].type, known[key].bounds))
    )
    path, came, failed = tmp_path / "any.yaml", Counter[str](), []

    @examples(4 * STARTS)
    @given(st.lists(change, min_size=1, max_size=3).map(dict))
    def begin(changes: Mapping[tuple[str, str], Any]) -> None:
        if came["passed"] == STARTS:
            return
        path.write_text(changed(changes))
        try:
            resolved = load([path], [], plugins)
        except RecipeError:
            came["refused"] += 1
            return
        came["passed"] += 1
        try:
            with tempfile.TemporaryDirectory(dir=tmp_path) as out:
                start(resolved, plugins, Path(out, "run"), Console(quiet=True))
        except Exception as error:  # Counted, and told.
            named = isinstance(error, TaskkitError) and error.exit_code == 2 and str(error).startswith(LATER)
            came["refused by name once the data were there"] += named
            if not named:
                failed.append(f"{changes}: {type(error).__name__}: {error}")

    begin()
    share = len(failed) / max(came["passed"], 1)
    with capsys.disabled():
        if LONG:
            print(f"\nstarted: {dict(came)}; did not start: {len(failed)} ({share:.2%})", *failed, sep="\n  ")
    assert share <= FALSE_NEGATIVES, "\n".join(failed)
