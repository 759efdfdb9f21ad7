"""What the benchmark declares to taskkit, as any plugin does."""

from collections.abc import Iterable

from taskkit import Component, hookimpl

WORK, SECTIONS = "step_cost.work", "step_cost.sections"
PIXELS, CLASSES = f"{SECTIONS}:Pixels", ("taskkit:Classes",)


@hookimpl
def taskkit_components() -> Iterable[Component]:
    """Declare a task that times its steps, a model, and data of noise."""
    task, data = f"{WORK}:Classify", f"{WORK}:Noise"
    yield Component("task", "steps.classify", "note five scalars", task, f"{SECTIONS}:Classify", "", CLASSES)
    yield Component("model", "steps.mlp", "a multilayer perceptron", f"{WORK}:Mlp", f"{SECTIONS}:Mlp", PIXELS, CLASSES)
    yield Component("data", "steps.noise", "random images", data, f"{SECTIONS}:Noise", PIXELS, CLASSES)
