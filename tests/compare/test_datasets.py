"""Methods over many data sets, in real run directories."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from taskkit.cli import main
from taskkit.compare.comparison import compare
from taskkit.compare.datasets import Ranking, ranking
from taskkit.errors import TaskkitError
from tests.compare.test_comparison import PROTOCOL, write_run


def of_data_sets(folder: Path, data_sets: int, models: dict[str, float]) -> None:
    """Models that are better or worse by as much on each data set, of which each is as hard as chance wills."""
    random = np.random.default_rng(0)
    for number in range(data_sets):
        hard = random.uniform(0, 0.3)
        for draw, (model, share) in enumerate(models.items()):
            write_run(
                folder / f"{number}" / model,
                share - hard + random.uniform(0, 0.02),
                draw=10 * number + draw,
                protocol=replace(PROTOCOL, data=f"data-{number}"),
                resolved={"seed": 0, "model": {"name": model}, "data": {"name": f"data-{number}"}},
            )


def ranked(folder: Path) -> Ranking:
    return ranking(compare([str(folder)], (), across=True, by="model.name"))


def test_a_method_that_is_better_on_every_data_set_is_told_apart_and_twins_are_not(tmp_path: Path) -> None:
    of_data_sets(tmp_path, 12, {"one": 0.9, "twin": 0.9, "worse": 0.7})
    found = ranked(tmp_path)
    assert found.methods[-1].name == "worse"
    assert found.methods[-1].rank == 3
    assert {(pair.first, pair.second): pair.real for pair in found.pairs} == {
        (0, 1): False,
        (0, 2): True,
        (1, 2): True,
    }
    assert found.friedman is not None
    assert found.friedman < 0.001


def test_the_command_line_shows_ranks(tmp_path: Path) -> None:
    of_data_sets(tmp_path, 10, {"one": 0.9, "worse": 0.7})
    said = CliRunner().invoke(main, ["--no-plugins", "compare", str(tmp_path), "--ranks"])
    assert said.exit_code == 0, said.output
    assert said.output.splitlines()[0] == "2 methods over 10 data sets; rank 1 is the best"
    assert said.output.splitlines()[3].split()[:3] == ["1", "one", "1.00"]
    found = json.loads(CliRunner().invoke(main, ["--no-plugins", "compare", str(tmp_path), "--ranks", "--json"]).output)
    assert found["pairs"][0]["real"]


@pytest.mark.parametrize("words", ["--ranks --csv", "--ranks --cost", "--csv --latex", "--cost --by optim.lr"])
def test_of_two_flags_none_is_ignored(tmp_path: Path, words: str) -> None:
    of_data_sets(tmp_path, 1, {"one": 0.9})
    refused = CliRunner().invoke(main, ["--no-plugins", "compare", str(tmp_path), *words.split()])
    assert refused.exit_code == 2
    assert "Leave one out" in refused.output or "leave it out" in refused.output


def test_few_data_sets_are_refused(tmp_path: Path) -> None:
    of_data_sets(tmp_path, 4, {"one": 0.9, "worse": 0.7})
    with pytest.raises(TaskkitError, match=r"these runs are of 4 data set\(s\).*10 at least were expected"):
        ranked(tmp_path)


def test_a_method_that_lacks_a_data_set_is_named(tmp_path: Path) -> None:
    of_data_sets(tmp_path, 10, {"one": 0.9, "worse": 0.7})
    shutil.rmtree(tmp_path / "3" / "worse")
    with pytest.raises(TaskkitError, match=r"not every method was tested on every data set: worse \[\w\]"):
        ranked(tmp_path)
