"""What the plugin declares."""

from collections.abc import Iterable

from taskkit import REGRESSION_METRICS, Component, RecipeFile, hookimpl, recipes_in

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
        metrics=REGRESSION_METRICS,
    )
    yield _model("mlp", "a network of hidden layers, with an embedding for each category", "Mlp")
    yield _model("trees", "gradient-boosted trees of LightGBM, learnt in one go", "Trees")
    yield _data("diabetes", "how the diabetes of 442 people went on, by ten measurements", "diabetes:Diabetes")
    yield _data("table", "the rows of a table of your own", "table:Table")


@hookimpl
def taskkit_recipes() -> Iterable[RecipeFile]:
    """Those in the folder `recipes` of this package."""
    return recipes_in("taskkit_tabular")


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


def _data(name: str, summary: str, implementation: str) -> Component:
    return Component(
        kind="data",
        name=f"tabular.{name}",
        summary=summary,
        implementation=f"taskkit_tabular.{implementation}",
        section=f"taskkit_tabular.sections:{implementation.partition(':')[2]}",
        input=ROWS,
        targets=(VALUES,),
    )
