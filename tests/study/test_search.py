"""A search chooses by validation, prunes, never asks a test, and goes on after any end as if there had been none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from taskkit.errors import RecipeError, TaskkitError
from taskkit.plugins.discovery import discover
from taskkit.runs.manifest import Manifest, Protocol
from taskkit.runs.study import CellRecord, SearchRecord
from taskkit.study import cells
from taskkit.study import file as files
from taskkit.study.book import Book
from taskkit.study.plan import Cell, plan, start_of, trial
from tests.study.conftest import RECIPE, Bench

pytest.importorskip("optuna")

from taskkit.study.search import Searching, in_words

OVER = "{optim.lr: {low: 1.0e-4, high: 1.0, log: true}, model.width: [8, 16, 32]}"
VALIDATIONS = 4


@pytest.fixture(autouse=True)
def here(series_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(series_site))
    monkeypatch.chdir(tmp_path)
    Path("one.yaml").write_text(RECIPE)


def opened(directory: str, **search: Any) -> tuple[Searching, Book]:
    """A search in a directory, begun or gone on with."""
    written = {"over": "OVER", "trials": 12, **search}
    text = f"recipes: [one.yaml]\nsearch: {json.dumps(written)}\n".replace('"OVER"', OVER)
    Path("study.yaml").write_text(text)
    return opened_as_written(directory)


def opened_as_written(directory: str) -> tuple[Searching, Book]:
    """The search of study.yaml."""
    file, plugins = files.read(Path("study.yaml")), discover({"series"})
    Path(directory).mkdir(exist_ok=True)
    book = Book.open(Path(directory), file, plan(file, plugins))
    make = partial(trial, file, "one", plugins=plugins)
    assert file.study.search is not None
    return Searching("one", file.study.search, make, start_of(file, "one", plugins), book), book


def error(values: Mapping[str, Any], validation: int) -> float:
    """A validation that is best at a rate of 0.1 and falls while a run goes on."""
    return abs(values["optim.lr"] - 0.1) + abs(values["model.width"] - 16) / 100 + 1 / validation


def begin(book: Book, cell: Cell, splits: str = "sha256:0") -> Path:
    """The directory of a run that begins."""
    run = book.path / cell.name
    run.mkdir(parents=True, exist_ok=True)
    protocol = Protocol("series.forecast", "series.waves", splits, ("mae", "min"))
    said = Manifest(cell.name, "running", cell.resolved.plain(), protocol=protocol)
    (run / "run.json").write_text(said.to_json())
    return run


def end(searching: Searching, book: Book, cell: Cell, status: Any = "finished") -> CellRecord:
    """A run that ended, with what the search makes of it."""
    run = book.path / cell.name
    said = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**said, "status": status}))
    record = searching.ended(cell, cells.recorded(book.path, cell))
    book.set(record)
    return record


def validate(run: Path, cell: Cell, number: int) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": number * 10, "epoch": number, "val/mae": error(cell.values, number)}) + "\n")


def through(searching: Searching, book: Book, most: int = 99) -> None:
    """Run trials as a conductor does, one after the other."""
    for _ in range(most):
        if (cell := searching.next()) is None:
            return
        run = begin(book, cell)
        for number in range(1, VALIDATIONS + 1):
            validate(run, cell, number)
            if searching.unwanted(cell):
                end(searching, book, cell, "preempted")
                break
        else:
            end(searching, book, cell)


def outcome(book: Book) -> list[tuple[str, Any, str, float | None]]:
    return [(c.name, c.values, c.status, c.trial.value) for c in book.trials("one") if c.trial is not None]


@pytest.mark.parametrize("widths", ["[8, 16]", "[8, 32]"])
def test_a_grid_says_what_the_recipe_as_it_is_came_to_where_it_was_tried(widths: str) -> None:
    over = f"{{model.width: {widths}, optim.lr: {{low: 0.01, high: 0.03, step: 0.01}}}}"
    Path("study.yaml").write_text(f"recipes: [one.yaml]\nsearch: {{sampler: grid, over: {over}}}\n")
    searching, book = opened_as_written("study")
    through(searching, book)
    chosen = searching.conclude()
    as_it_is = [each.trial.value for each in book.trials("one") if each.trial and each.values["optim.lr"] == 0.01]
    assert chosen.start == (as_it_is[1] if widths == "[8, 16]" else None)
    assert ("the recipe as it is: not tried" in in_words(chosen, book.trials("one"))) == (widths != "[8, 16]")


def test_values_that_choose_their_own_validation_are_refused() -> None:
    searching, book = opened("study")
    for number in range(2):
        cell = searching.next()
        assert cell is not None
        run = begin(book, cell, splits=f"sha256:{number}")
        validate(run, cell, 1)
        if number == 0:
            end(searching, book, cell)
            continue
        with pytest.raises(
            TaskkitError, match=r"one/trials/0 and one/trials/1 were validated on other data.*optim\.lr"
        ):
            end(searching, book, cell)


@pytest.mark.parametrize("pruner", ["none", "median", "hyperband"])
def test_a_search_that_is_killed_goes_on_as_if_it_had_not_been(pruner: str) -> None:
    straight, book = opened("straight", pruner=pruner)
    through(straight, book)
    chosen = straight.conclude()
    assert len(outcome(book)) == 12
    assert ("pruned" in {status for _, _, status, _ in outcome(book)}) == (pruner != "none")

    for done in (0, 2, 4):
        searching, killed = opened("killed", pruner=pruner)
        through(searching, killed, most=done)
        # A run that goes on while the study is killed, in the midst of its validations.
        if (cell := searching.next()) is not None:
            validate(begin(killed, cell), cell, 1)
            killed.set(replace(killed.of(cell.name), status="running"))
        begun = len(killed.trials("one"))
        again, killed = opened("killed", pruner=pruner)
        first = again.next()
        assert first is not None
        assert cell is not None
        assert first.name == cell.name
        assert len(killed.trials("one")) == begun
        (killed.path / first.name / "metrics.jsonl").unlink()
        run = begin(killed, first)
        for number in range(1, VALIDATIONS + 1):
            validate(run, first, number)
            if again.unwanted(first):
                end(again, killed, first, "preempted")
                break
        else:
            end(again, killed, first)
    again, killed = opened("killed", pruner=pruner)
    through(again, killed)
    assert outcome(killed) == outcome(book)
    assert again.conclude() == chosen


def test_the_recipe_as_it_is_comes_first_and_the_best_is_better() -> None:
    searching, book = opened("study", trials=30)
    through(searching, book)
    chosen = searching.conclude()
    manifests = [json.loads((book.path / each.name / "run.json").read_text()) for each in book.trials("one")]
    assert all(said["resolved"]["trainer"]["limit_test_batches"] == 0 for said in manifests)
    first = book.trials("one")[0]
    assert first.values == {"optim.lr": 0.01, "model.width": 16}
    assert first.trial is not None
    assert chosen.start == first.trial.value
    best = book.of(str(chosen.best)).trial
    assert best is not None
    assert (chosen.metric, chosen.mode) == ("val/mae", "min")
    assert chosen.start is not None
    assert best.value is not None
    assert best.value < chosen.start
    assert all(abs(value) == value for value in (best.value, chosen.start))


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes"])
def test_each_sampler_keeps_to_its_ranges(sampler: str) -> None:
    if sampler == "cmaes":
        pytest.importorskip("cmaes")
    searching, book = opened(
        "study",
        sampler=sampler,
        trials=6,
        over={"optim.lr": {"low": 0.001, "high": 0.1}, "model.width": {"low": 8, "high": 32, "step": 8}},
    )
    through(searching, book)
    found = [record.values for record in book.trials("one")]
    assert len({json.dumps(each) for each in found}) > 3
    assert all(0.001 <= each["optim.lr"] <= 0.1 and each["model.width"] in (8, 16, 24, 32) for each in found)
    assert all(isinstance(each["model.width"], int) for each in found)


def test_a_grid_is_tried_whole_and_in_order() -> None:
    searching, book = opened(
        "study", sampler="grid", trials=None, over={"model.width": [8, 16], "optim.lr": [0.1, 0.2]}
    )
    through(searching, book)
    assert [[*record.values.values()] for record in book.trials("one")] == [[8, 0.1], [8, 0.2], [16, 0.1], [16, 0.2]]
    assert dict(searching.conclude().values) == {"model.width": 16, "optim.lr": 0.1}


def test_a_search_goes_on_as_it_began_and_may_grow_until_something_was_chosen() -> None:
    searching, book = opened("study", trials=2)
    through(searching, book)
    with pytest.raises(TaskkitError, match="holds a search with another sampler"):
        opened("study", trials=2, sampler="random")
    grown, book = opened("study", trials=3)
    through(grown, book)
    grown.conclude()
    assert len(book.trials("one")) == 3
    with pytest.raises(TaskkitError, match="holds a search with another trials"):
        opened("study", trials=4)


def test_trials_that_fail_are_left_out_and_where_all_do_nothing_is_chosen() -> None:
    searching, book = opened("study", trials=2)
    for _ in range(2):
        cell = searching.next()
        assert cell is not None
        begin(book, cell)
        end(searching, book, cell, "failed")
    with pytest.raises(TaskkitError, match="none of its 2 trials was finished"):
        searching.conclude()


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ("{over: {optim.lr: {low: 1, high: 0.1}}}", "study.yaml:2:17: search.over.optim.lr is from 1 to 0.1."),
        ("{over: {optim.lr: [0.1], model.widht: [4]}}", "study.yaml:2:34: model.widht is not a field of series.mlp."),
        ("{over: {model.width: {low: 0, high: 8}}}", "study.yaml:2:17: model.width is 0."),
        ("{over: {optim.lr: [0.1]}, metric: val/mea}", "search.metric is 'val/mea', which is no metric of"),
        ("{over: {optim.lr: [0.1]}, metric: test/mae}", "A metric of validation was expected."),
        ("{over: {optim.lr: {low: 0.1, high: 1.0}}, sampler: grid}", "of which a grid has no end"),
        ("{over: {seed: [1, 2]}}", "search.over.seed cannot be searched"),
    ],
)
def test_what_is_wrong_with_a_search_is_told_before_any_work(search: str, said: str) -> None:
    Path("study.yaml").write_text(f"recipes: [one.yaml]\nsearch: {search}\n")
    with pytest.raises(RecipeError) as raised:
        plan(files.read(Path("study.yaml")), discover({"series"}))
    assert said in str(raised.value)


@pytest.mark.slow
def test_a_search_ends_in_one_test_of_what_was_chosen(own_bench: Bench) -> None:
    over = "{optim.lr: {low: 1.0e-5, high: 1.0e-1, log: true}}"
    own_bench.write(f"recipes: [one.yaml]\nsearch: {{over: {over}, trials: 1}}\nreport: false\n")
    ended = own_bench.study()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "No test split was asked." in ended.stdout
    record = own_bench.record
    assert [cell.status for cell in record.cells] == ["finished"] * 2
    trials = [cell for cell in record.cells if cell.trial is not None]
    assert all(
        "metrics" not in own_bench.manifest(cell.name) or not own_bench.manifest(cell.name)["metrics"]
        for cell in trials
    )
    assert all("baseline" not in own_bench.manifest(cell.name) for cell in trials)
    assert not any((own_bench.path / cell.name / "predictions.parquet").exists() for cell in trials)
    (search,) = record.searches
    assert isinstance(search, SearchRecord)
    assert own_bench.manifest("one/seed=3")["resolved"]["optim"]["lr"] == search.values["optim.lr"]
    (asked,) = record.tests
    assert (asked.times, asked.runs) == (1, ("one/seed=3",))
