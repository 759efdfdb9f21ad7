"""What the plugin declares."""

from collections.abc import Iterable
from pathlib import Path

from taskkit import Component, RecipeFile, hookimpl

taskkit_api = ">=0.2,<0.3"

PIXELS = "taskkit_retrieval.sections:Pixels"
CLASSES = "taskkit:Classes"


@hookimpl
def taskkit_components() -> Iterable[Component]:
    """Declare a task, a model and data for it."""
    yield Component(
        kind="task",
        name="retrieval.nearest",
        summary="find the training examples that are most alike",
        implementation="taskkit_retrieval.retrieval:Retrieve",
        section="taskkit_retrieval.sections:Retrieve",
        targets=(CLASSES,),
        metrics={"precision@1": "max"},
    )
    yield Component(
        kind="model",
        name="retrieval.encoder",
        summary="a vector of each picture, by one hidden layer",
        implementation="taskkit_retrieval.retrieval:Encoder",
        section="taskkit_retrieval.sections:Encoder",
        input=PIXELS,
        targets=(CLASSES,),
    )
    yield Component(
        kind="data",
        name="retrieval.digits",
        summary="scikit-learn's written digits",
        implementation="taskkit_retrieval.retrieval:Digits",
        section="taskkit_retrieval.sections:Digits",
        input=PIXELS,
        targets=(CLASSES,),
    )


@hookimpl
def taskkit_recipes() -> Iterable[RecipeFile]:
    """Ship one recipe."""
    yield RecipeFile("retrieval", Path(__file__).parent / "retrieval.yaml")
