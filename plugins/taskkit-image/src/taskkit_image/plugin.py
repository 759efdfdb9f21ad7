"""What this plugin brings to taskkit; importing it loads no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from taskkit import CLASSIFICATION_METRICS, Component, Guess, RecipeFile, UserData, hookimpl, recipes_in

taskkit_api = ">=0.2,<0.3"


@hookimpl
def taskkit_components() -> Iterable[Component]:
    """The task, its models and its data."""
    yield _component(
        "task",
        "classification",
        "choose one class for each image",
        "task:ImageClassification",
        metrics=CLASSIFICATION_METRICS,
    )
    yield _component("model", "vit", "a vision transformer for small images, from scratch", "vit:Vit")
    yield _component("model", "resnet", "a residual network for small images, from scratch", "resnet:Resnet")
    yield _component("model", "mlp", "a multilayer perceptron: the smallest honest baseline", "mlp:Mlp")
    yield _component("model", "timm", "any timm model by its name, pretrained or not", "timm_model:TimmModel", "Timm")
    yield _component("data", "mnist5k", "5 000 handwritten digits, 28×28", "mnist5k:Mnist5k")
    yield _component("data", "fashion_mnist", "70 000 pictures of clothes, 28×28", "fashion_mnist:FashionMnist")
    yield _component("data", "digits", "scikit-learn's 1 797 digits, 8×8, for first tries", "digits:Digits")
    yield _component("data", "folder", "your own images, in class folders or listed in a table", "folder:Folder")
    yield _component(
        "data",
        "torchvision",
        "CIFAR, SVHN and others by torchvision's names",
        "torchvision_data:TorchvisionData",
    )


@hookimpl
def taskkit_recipes() -> Iterable[RecipeFile]:
    """The recipes that come inside the package."""
    return recipes_in("taskkit_image")


@hookimpl
def taskkit_recognise(data: UserData) -> Iterable[Guess]:
    """Images in folders of classes, or listed in a table."""
    from taskkit_image.recognise import guesses

    return guesses(data)


def _component(
    kind: Literal["task", "model", "data"],
    name: str,
    summary: str,
    implementation: str,
    section: str = "",
    metrics: Mapping[str, Literal["max", "min"]] | None = None,
) -> Component:
    return Component(
        kind,
        f"image.{name}",
        summary,
        implementation=f"taskkit_image.{implementation}",
        section=f"taskkit_image.sections:{section or implementation.partition(':')[2]}",
        input="taskkit_image.facts:Images",
        targets=("taskkit:Classes",),
        metrics=metrics or {},
        portable={"task": "taskkit:ArrayClassification", "model": "taskkit_image.arrays:ImageArrays"}.get(kind, ""),
    )
