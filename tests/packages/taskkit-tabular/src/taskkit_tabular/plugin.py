"""What the plugin declares."""

from collections.abc import Iterable
from pathlib import Path

from taskkit import Component, RecipeFile, hookimpl

taskkit_api = ">=0.2,<0.3"

ROWS = "taskkit_tabular.sections:Rows"
VALUES = "taskkit:Values"


@hookimpl
def taskkit_components() -> Iterable[Component]:
    """Declare the task, which is taskkit's own, two models and the data."""
    yield Component(
        kind="task",
        name="tabular.regression",
        summary="predict numbers",
        implementation="taskkit:Regression",
        section="taskkit:RegressionSection",
        targets=(VALUES,),
        metrics={"rmse": "min", "mae": "min", "r2": "max"},
    )
    yield _model("mlp", "a network of hidden layers, with an embedding for each category", "Mlp")
    yield _model("trees", "gradient-boosted trees of LightGBM, learnt in one go", "Trees")
    yield Component(
        kind="data",
        name="tabular.table",
        summary="the rows of a CSV, TSV, JSON lines or Parquet file",
        implementation="taskkit_tabular.table:Table",
        section="taskkit_tabular.sections:Table",
        input=ROWS,
        targets=(VALUES,),
    )


@hookimpl
def taskkit_recipes() -> Iterable[RecipeFile]:
    """Ship a recipe of the network; `model.name=tabular.trees trainer.max_epochs=0` grows trees instead."""
    yield RecipeFile("tabular", Path(__file__).parent / "tabular.yaml")


def _model(name: str, summary: str, section: str) -> Component:
    return Component(
        kind="model",
        name=f"tabular.{name}",
        summary=summary,
        implementation=f"taskkit_tabular.models:{section}",
        section=f"taskkit_tabular.sections:{section}",
        input=ROWS,
        targets=(VALUES,),
    )
