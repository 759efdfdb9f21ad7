"""What the pages bring; importing it loads no torch."""

from collections.abc import Iterable

import click
from taskkit import CLASSIFICATION_METRICS, Component, RecipeFile, hookimpl, recipes_in

taskkit_api = ">=0.2,<0.3"

IMAGES = "taskkit_image.facts:Images"
CLASSES = "taskkit:Classes"
ITSELF = "taskkit_guides.sections:Itself"


@hookimpl
def taskkit_components() -> Iterable[Component]:
    """Say what there is."""
    yield Component(
        kind="model",
        name="guides.lenet",
        summary="LeNet, as it was written elsewhere",
        implementation="taskkit_guides.module:Lenet",
        section="taskkit_guides.sections:Lenet",
        input=IMAGES,
        targets=(CLASSES,),
    )
    yield Component(
        kind="model",
        name="guides.vit",
        summary="a vision transformer of transformers, from scratch or from a folder of weights",
        implementation="taskkit_guides.huggingface:Vit",
        section="taskkit_guides.sections:Vit",
        input=IMAGES,
        targets=(CLASSES,),
    )
    yield Component(
        kind="model",
        name="guides.autoencoder",
        summary="a network that squeezes an image and restores it",
        implementation="taskkit_guides.moved:Autoencoder",
        section="taskkit_guides.sections:Autoencoder",
        input=IMAGES,
        targets=(ITSELF,),
    )
    yield Component(
        kind="task",
        name="guides.restore",
        summary="restore each image from what a network squeezed it into",
        implementation="taskkit_guides.moved:Restore",
        section="taskkit_guides.sections:Restore",
        input=IMAGES,
        targets=(ITSELF,),
        metrics={"error": "min"},
    )
    yield Component(
        kind="task",
        name="guides.classification",
        summary="choose one class for each image, judged by the Brier score and Cohen's kappa too",
        implementation="taskkit_guides.metric:Classify",
        section="taskkit:ClassificationSection",
        input=IMAGES,
        targets=(CLASSES,),
        metrics={**CLASSIFICATION_METRICS, "brier": "min", "kappa": "max"},
        statistics=("taskkit_guides.agreement:kappa",),
    )
    yield Component(
        kind="data",
        name="guides.parity",
        summary="handwritten digits, even or odd",
        implementation="taskkit_guides.parity:Parity",
        section="taskkit_guides.sections:Parity",
        input=IMAGES,
        targets=(CLASSES,),
    )


@hookimpl
def taskkit_recipes() -> Iterable[RecipeFile]:
    """Those in the folder `recipes` of this package."""
    return recipes_in("taskkit_guides")


@hookimpl
def taskkit_commands() -> Iterable[click.Command]:
    """One verb more."""
    from taskkit_guides.verb import confused

    yield confused
