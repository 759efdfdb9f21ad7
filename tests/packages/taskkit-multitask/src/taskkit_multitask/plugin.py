"""What the plugin declares."""

from collections.abc import Iterable
from pathlib import Path

from taskkit import Component, RecipeFile, hookimpl

taskkit_api = ">=0.2,<0.3"

PICTURES = "taskkit_multitask.sections:Pictures"
BOTH = "taskkit_multitask.sections:DigitAndParity"


@hookimpl
def taskkit_components() -> Iterable[Component]:
    """Declare a task of two targets, a model with two heads and data."""
    yield Component(
        kind="task",
        name="multitask.digits",
        summary="tell the digit and whether it is odd",
        implementation="taskkit_multitask.digits:DigitsTask",
        section="taskkit_multitask.sections:DigitsTask",
        targets=(BOTH,),
        metrics={"digit_accuracy": "max", "parity_accuracy": "max"},
    )
    yield Component(
        kind="model",
        name="multitask.mlp",
        summary="a hidden layer and a head for each target",
        implementation="taskkit_multitask.digits:Mlp",
        section="taskkit_multitask.sections:Mlp",
        input=PICTURES,
        targets=(BOTH,),
    )
    yield Component(
        kind="data",
        name="multitask.digits",
        summary="the handwritten digits of scikit-learn, 8 by 8",
        implementation="taskkit_multitask.digits:Digits",
        section="taskkit_multitask.sections:Digits",
        input=PICTURES,
        targets=(BOTH,),
    )


@hookimpl
def taskkit_recipes() -> Iterable[RecipeFile]:
    """Ship the recipe."""
    yield RecipeFile("multitask", Path(__file__).parent / "multitask.yaml")
