"""What the plugin declares."""

from collections.abc import Iterable
from pathlib import Path

from taskkit import Component, RecipeFile, hookimpl

taskkit_api = ">=0.2,<0.3"

CAPTIONED = "taskkit_contrast.sections:Captioned"
MATCH = "taskkit_contrast.sections:Match"


@hookimpl
def taskkit_components() -> Iterable[Component]:
    """Declare a task, a model and data for it."""
    yield Component(
        kind="task",
        name="contrast.match",
        summary="find each picture's caption among all",
        implementation="taskkit_contrast.contrast:Contrast",
        section="taskkit_contrast.sections:Contrast",
        input=CAPTIONED,
        targets=(MATCH,),
        metrics={"recall@*": "max"},
    )
    yield Component(
        kind="model",
        name="contrast.towers",
        summary="a network for pictures and one for captions",
        implementation="taskkit_contrast.contrast:Towers",
        section="taskkit_contrast.sections:Towers",
        input=CAPTIONED,
        targets=(MATCH,),
    )
    yield Component(
        kind="data",
        name="contrast.shapes",
        summary="made pictures of coloured shapes",
        implementation="taskkit_contrast.contrast:Shapes",
        section="taskkit_contrast.sections:Shapes",
        input=CAPTIONED,
    )


@hookimpl
def taskkit_recipes() -> Iterable[RecipeFile]:
    """Ship one recipe."""
    yield RecipeFile("contrast", Path(__file__).parent / "contrast.yaml")
