"""What the plugin declares."""

from collections.abc import Iterable
from pathlib import Path

from taskkit import Component, RecipeFile, hookimpl

taskkit_api = ">=0.2,<0.3"

POINTS = "taskkit_gan.sections:Points"
LIKENESS = "taskkit_gan.sections:Likeness"


@hookimpl
def taskkit_components() -> Iterable[Component]:
    """Declare a task, a model and data for it."""
    yield Component(
        kind="task",
        name="gan.adversarial",
        summary="generate points that a discriminator takes for real ones",
        implementation="taskkit_gan.gan:Adversarial",
        section="taskkit:NoOptions",
        input=POINTS,
        targets=(LIKENESS,),
        metrics={"energy_distance": "min"},
    )
    yield Component(
        kind="model",
        name="gan.mlps",
        summary="a generator and a discriminator of two hidden layers each",
        implementation="taskkit_gan.gan:Mlps",
        section="taskkit_gan.sections:Mlps",
        input=POINTS,
        targets=(LIKENESS,),
    )
    yield Component(
        kind="data",
        name="gan.ring",
        summary="normal distributions on a circle",
        implementation="taskkit_gan.gan:Ring",
        section="taskkit_gan.sections:Ring",
        input=POINTS,
    )


@hookimpl
def taskkit_recipes() -> Iterable[RecipeFile]:
    """Ship a recipe that trains in seconds."""
    yield RecipeFile("gan", Path(__file__).with_name("gan.yaml"))
