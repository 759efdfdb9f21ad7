"""Regression on a table of numbers and categories with holes in it, by a network and by boosted trees."""

import csv
from pathlib import Path

import pytest
from sklearn.datasets import load_diabetes

import taskkit
from tests.strangers.conftest import Stranger

PACKAGE = "tabular"
TARGET = "progression"
DATA = ["data.path=diabetes.csv", f"data.targets=[{TARGET}]", "data.categories=[sex]", "data.split=split"]
SHORT = ["trainer.accelerator=cpu", "trainer.precision=32-true", "meter.every_n_steps=20", *DATA]
TREES = ["model.name=tabular.trees", "trainer.max_epochs=0"]


@pytest.fixture(scope="module")
def table(stranger: Stranger) -> Path:
    """The diabetes data of scikit-learn; every ninth blood pressure is lost, and one test row has a sex of its own."""
    inputs, target = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    rows = inputs.assign(**{TARGET: target}).to_dict("records")
    for number, row in enumerate(rows):
        row["split"] = "test" if number % 4 == 0 else "val" if number % 16 == 1 else "train"
        row["sex"] = "unknown" if number == 40 else {1: "a", 2: "b"}[row["sex"]]
        row["bp"] = "" if number % 9 == 0 else row["bp"]
    path = stranger.folder / "diabetes.csv"
    with path.open("w") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def straight(stranger: Stranger, table: Path) -> taskkit.LoadedRun:
    return stranger.run(*SHORT, out="straight")


@pytest.fixture(scope="module")
def trees(stranger: Stranger, table: Path) -> taskkit.LoadedRun:
    return stranger.run(*SHORT, *TREES, out="trees")


def test_a_network_on_rows_is_better_than_the_mean(straight: taskkit.LoadedRun) -> None:
    baseline = straight.manifest.baseline["test/rmse"]
    assert 70 < baseline < 85
    assert straight.metrics["test/rmse"] < 0.8 * baseline
    assert straight.metrics["test/r2"] > 0.4


def test_trees_that_are_grown_in_one_go_are_better_than_the_mean(trees: taskkit.LoadedRun) -> None:
    assert trees.status == "finished"
    assert trees.metrics["test/rmse"] < 0.85 * trees.manifest.baseline["test/rmse"]


def test_rows_of_a_category_that_training_lacked_are_marked(straight: taskkit.LoadedRun) -> None:
    assert straight.manifest.data.flagged == {"test": {"unknown category": {"count": 1, "examples": ["row 41"]}}}


@pytest.mark.parametrize("model", ["straight", "trees"])
def test_evaluating_gives_what_the_run_recorded_and_asking_between_changes_nothing(
    model: str, stranger: Stranger, table: Path, request: pytest.FixtureRequest
) -> None:
    ended = request.getfixturevalue(model)
    loaded = taskkit.load_run(ended.path, plugins=stranger.plugins)
    first = loaded.predict(table)
    assert loaded.evaluate().metrics == ended.metrics
    assert loaded.predict(table) == first
    tested = {row["id"]: row["prediction"] for row in ended.predictions().to_pylist()}
    asked = {row["input"].rpartition(": ")[2]: row["prediction"] for row in first}
    assert tested == pytest.approx({name: asked[name] for name in tested}, rel=1e-4)


def test_the_command_line_answers_a_row_that_has_holes(stranger: Stranger, straight: taskkit.LoadedRun) -> None:
    header = "age,sex,bmi,bp,s1,s2,s3,s4,s5,s6"
    (stranger.folder / "asked.csv").write_text(f"{header}\n60,b,38,110,200,120,35,6,5.5,110\n25,,20,,160,,60,3,,80\n")
    ill, well = (row["prediction"] for row in stranger.predict(straight.path, "asked.csv"))
    assert 25 < well < 150 < ill < 350


def test_a_cell_that_is_no_number_is_named(stranger: Stranger, table: Path) -> None:
    (stranger.folder / "wrong.csv").write_text(table.read_text().replace("\n23.0,", "\nyoung,", 1))
    with pytest.raises(taskkit.DataError, match=r"wrong.csv: row 6: 'age' is 'young'"):
        stranger.run(*SHORT, "data.path=wrong.csv", out="wrong")


def test_a_run_that_learns_nothing_by_steps_says_how_it_is_run(stranger: Stranger, table: Path) -> None:
    with pytest.raises(taskkit.RunFailedError, match=r"set trainer.max_epochs=0"):
        stranger.run(*SHORT, "model.name=tabular.trees", out="stepped")
