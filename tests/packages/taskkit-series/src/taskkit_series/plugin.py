"""What the plugin declares."""

from collections.abc import Iterable

from taskkit import Component, hookimpl

taskkit_api = ">=0.1,<0.2"

SERIES, FUTURE = "taskkit_series.sections:Series", "taskkit_series.sections:Future"


@hookimpl
def taskkit_components() -> Iterable[Component]:
    """Declare a task, a model and data for it."""
    here = "taskkit_series.forecast:"
    sections = "taskkit_series.sections:"
    return [
        Component(
            "task",
            "series.forecast",
            "forecast a quantile",
            f"{here}Forecast",
            f"{sections}Forecast",
            targets=(FUTURE,),
        ),
        Component(
            "model", "series.mlp", "one hidden layer", f"{here}Mlp", f"{sections}Mlp", input=SERIES, targets=(FUTURE,)
        ),
        Component(
            "data", "series.waves", "sums of sines", f"{here}Waves", f"{sections}Waves", input=SERIES, targets=(FUTURE,)
        ),
    ]
