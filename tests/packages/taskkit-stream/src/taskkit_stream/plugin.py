"""What the plugin declares."""

from collections.abc import Iterable
from pathlib import Path

from taskkit import Component, RecipeFile, hookimpl

taskkit_api = ">=0.2,<0.3"

LINES = "taskkit_stream.sections:Lines"
CLASSES = "taskkit:Classes"


@hookimpl
def taskkit_components() -> Iterable[Component]:
    """Declare the task, which is taskkit's own, a model and data."""
    yield Component(
        kind="task",
        name="stream.classification",
        summary="tell the language of a line",
        implementation="taskkit:Classification",
        section="taskkit:ClassificationSection",
        targets=(CLASSES,),
        metrics={"accuracy": "max", "f1": "max"},
    )
    yield Component(
        kind="model",
        name="stream.bag",
        summary="the mean of embedded letters, and a hidden layer",
        implementation="taskkit_stream.lines:Bag",
        section="taskkit_stream.sections:Bag",
        input=LINES,
        targets=(CLASSES,),
    )
    yield Component(
        kind="data",
        name="stream.lines",
        summary="lines of made-up languages, as many as are wanted",
        implementation="taskkit_stream.lines:Languages",
        section="taskkit_stream.sections:Languages",
        input=LINES,
        targets=(CLASSES,),
    )


@hookimpl
def taskkit_recipes() -> Iterable[RecipeFile]:
    """Ship the recipe."""
    yield RecipeFile("stream", Path(__file__).parent / "stream.yaml")
