"""What the plugin declares: components that fit each other, and some that do not."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from taskkit import Component, RecipeFile, hookimpl

taskkit_api = ">=0.2,<0.3"

HERE = "taskkit_points.sections:"
CLASSES = "taskkit:Classes"
CLASSES_OF_OLD = "taskkit.spec:Classes"
CLASSIFICATION = "taskkit:ClassificationSection"
METRICS: Mapping[str, Literal["max", "min"]] = {"accuracy": "max", "calibration_error": "min", "hits@10": "max"}
POINTS, PLANAR, SOUNDS = f"{HERE}Points", f"{HERE}Planar", f"{HERE}Sounds"
WORDS, HIDDEN = f"{HERE}Words", f"{HERE}Hidden"


@hookimpl
def taskkit_components() -> Iterable[Component]:
    """Declare tasks, models and data."""
    yield _component("task", "points.classification", CLASSIFICATION, targets=(CLASSES,), metrics=METRICS)
    yield _component("task", "points.spelling", targets=(WORDS,))
    yield _component("task", "points.hidden", needs=POINTS, targets=(HIDDEN,))
    yield _component("model", "points.net", f"{HERE}Net", POINTS, (CLASSES, HIDDEN))
    yield _component("model", "points.linear", needs=POINTS, targets=(CLASSES,))
    yield _component("model", "points.clumsy", f"{HERE}Clumsy", POINTS, (CLASSES,))
    yield _component("model", "points.unreadable", f"{HERE}Unreadable", POINTS, (CLASSES,))
    yield _component("data", "points.moons", needs=PLANAR, targets=(CLASSES,))
    yield _component("data", "points.folder", f"{HERE}Folder", POINTS, (CLASSES,))
    yield _component("data", "points.old", needs=POINTS, targets=(CLASSES_OF_OLD,))
    yield _component("data", "points.dictation", needs=POINTS, targets=(WORDS,))
    yield _component("data", "points.noise", needs=SOUNDS, targets=(CLASSES,))
    yield _component("data", "points.torn", "taskkit_points.missing:Torn", POINTS, (CLASSES,))
    yield _component("data", "points.odd", needs=f"{HERE}NOT_A_FACT", targets=(CLASSES,))


@hookimpl
def taskkit_recipes() -> Iterable[RecipeFile]:
    """Ship one recipe."""
    yield RecipeFile("moons", Path(__file__).parent / "moons.yaml")


def _component(
    kind: Literal["task", "model", "data"],
    name: str,
    section: str = f"{HERE}Nothing",
    needs: str = "",
    targets: tuple[str, ...] = (),
    metrics: Mapping[str, Literal["max", "min"]] | None = None,
) -> Component:
    code = f"taskkit_points.code:{kind.capitalize()}"
    return Component(kind, name, f"The {kind} of a test.", code, section, needs, targets, metrics or {})
