"""What the plugin declares."""

from collections.abc import Iterable

from taskkit import Component, RecipeFile, hookimpl, recipes_in

taskkit_api = ">=0.2,<0.3"

SERIES = "taskkit_series.sections:Series"
FUTURE = "taskkit_series.sections:Future"


@hookimpl
def taskkit_components() -> Iterable[Component]:
    """Declare a task, a model and data for it."""
    yield Component(
        kind="task",
        name="series.forecast",
        summary="forecast a quantile of what follows",
        implementation="taskkit_series.forecast:Forecast",
        section="taskkit_series.sections:Forecast",
        targets=(FUTURE,),
        metrics={"mae": "min"},
    )
    yield Component(
        kind="model",
        name="series.mlp",
        summary="a network of one hidden layer",
        implementation="taskkit_series.forecast:Mlp",
        section="taskkit_series.sections:Mlp",
        input=SERIES,
        targets=(FUTURE,),
    )
    yield Component(
        kind="data",
        name="series.waves",
        summary="sums of two sines",
        implementation="taskkit_series.forecast:Waves",
        section="taskkit_series.sections:Waves",
        input=SERIES,
        targets=(FUTURE,),
    )


@hookimpl
def taskkit_recipes() -> Iterable[RecipeFile]:
    """Ship the recipes in the folder `recipes` of the package."""
    return recipes_in("taskkit_series")
