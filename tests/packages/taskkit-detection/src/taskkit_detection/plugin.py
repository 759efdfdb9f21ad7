"""What the plugin declares."""

from collections.abc import Iterable
from pathlib import Path

from taskkit import Component, RecipeFile, hookimpl

taskkit_api = ">=0.2,<0.3"

PICTURES = "taskkit_detection.sections:Pictures"
BOXES = "taskkit_detection.sections:Boxes"


@hookimpl
def taskkit_components() -> Iterable[Component]:
    """Declare a task, a model and data for it."""
    yield Component(
        kind="task",
        name="detection.boxes",
        summary="find the objects in a picture: a box and a class for each",
        implementation="taskkit_detection.detection:Detection",
        section="taskkit:NoOptions",
        input=PICTURES,
        targets=(BOXES,),
        metrics={"map": "max", "map_50": "max", "map_75": "max"},
    )
    yield Component(
        kind="model",
        name="detection.retinanet",
        summary="torchvision's RetinaNet on a small backbone",
        implementation="taskkit_detection.detection:Retina",
        section="taskkit_detection.sections:Retina",
        input=PICTURES,
        targets=(BOXES,),
    )
    yield Component(
        kind="data",
        name="detection.shapes",
        summary="coloured squares and rings on textured ground",
        implementation="taskkit_detection.detection:Shapes",
        section="taskkit_detection.sections:Shapes",
        input=PICTURES,
        targets=(BOXES,),
    )


@hookimpl
def taskkit_recipes() -> Iterable[RecipeFile]:
    """Ship a recipe that trains in seconds."""
    yield RecipeFile("detection", Path(__file__).with_name("detection.yaml"))
