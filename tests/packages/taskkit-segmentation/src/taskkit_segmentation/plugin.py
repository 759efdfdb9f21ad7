"""What the plugin declares."""

from collections.abc import Iterable
from pathlib import Path

from taskkit import Component, RecipeFile, hookimpl

taskkit_api = ">=0.2,<0.3"

PICTURES = "taskkit_segmentation.sections:Pictures"
MASKS = "taskkit_segmentation.sections:Masks"


@hookimpl
def taskkit_components() -> Iterable[Component]:
    """Declare a task, a model and data for it."""
    yield Component(
        kind="task",
        name="segmentation.masks",
        summary="a class for each pixel of a picture",
        implementation="taskkit_segmentation.segmentation:Segmentation",
        section="taskkit:NoOptions",
        input=PICTURES,
        targets=(MASKS,),
        metrics={"miou": "max", "pixel_accuracy": "max"},
    )
    yield Component(
        kind="model",
        name="segmentation.unet",
        summary="a small U-Net",
        implementation="taskkit_segmentation.segmentation:UnetModel",
        section="taskkit_segmentation.sections:Unet",
        input=PICTURES,
        targets=(MASKS,),
    )
    yield Component(
        kind="data",
        name="segmentation.land",
        summary="fields and water seen from above, in pictures of many sizes",
        implementation="taskkit_segmentation.segmentation:Land",
        section="taskkit_segmentation.sections:Land",
        input=PICTURES,
        targets=(MASKS,),
    )


@hookimpl
def taskkit_recipes() -> Iterable[RecipeFile]:
    """Ship a recipe that trains in seconds."""
    yield RecipeFile("segmentation", Path(__file__).with_name("segmentation.yaml"))
