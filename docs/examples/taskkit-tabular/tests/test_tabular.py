"""What no kit can know: the two models are of use on real data, and rows with holes are read as they are meant."""

from pathlib import Path

import pytest
import taskkit

from taskkit_tabular.sections import Rows
from taskkit_tabular.table import RowEncoder

FACTS = Rows(("size",), ("town",))
TRAIN = [
    taskkit.Example("a", {"size": 10.0, "town": "Bern"}),
    taskkit.Example("b", {"size": 30.0, "town": "Chur"}),
    taskkit.Example("c", {"size": None, "town": "Bern"}),
]


@pytest.mark.parametrize("changes", [[], ["model.name=tabular.trees", "trainer.max_epochs=0"]], ids=["mlp", "trees"])
def test_the_recipe_is_better_than_the_mean(changes: list[str], tmp_path: Path) -> None:
    run = taskkit.run("diabetes", ["trainer.accelerator=cpu", *changes], out=tmp_path / "run")
    assert run.metrics["test/rmse"] < 0.85 * run.manifest.baseline["test/rmse"]


def test_a_hole_becomes_the_median_with_a_mark_and_a_new_category_none_of_those_known() -> None:
    encoder = RowEncoder(FACTS)
    encoder.fit(TRAIN)
    (sample,) = encoder.encode(taskkit.Example("d", {"size": None, "town": "Genf"}))
    assert sample["numbers"].tolist() == [0.0]
    assert sample["missing"].tolist() == [1.0]
    assert sample["categories"].tolist() == [0]
    assert sample["flag_unknown_category"] == 1
