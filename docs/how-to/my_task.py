"""A plugin that is one file of a project: two spirals of points, a network that tells them apart, and the task."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from taskkit import (
    CLASSIFICATION_METRICS,
    Classes,
    Classification,
    ClassificationSection,
    Component,
    DataError,
    DataModule,
    DataSpec,
    Example,
    Fact,
    Model,
    Prepared,
    Processor,
    Sample,
    Split,
    hookimpl,
    setting,
)

taskkit_api = ">=0.2,<0.3"


@hookimpl
def taskkit_components() -> Iterable[Component]:
    """Declare what the file has; the import paths begin with its name."""
    plane, classes = "my_task:Plane", ("taskkit:Classes",)
    yield Component(
        kind="task",
        name="mine.classification",
        summary="tell spirals apart",
        implementation="my_task:Tell",
        section="taskkit:ClassificationSection",
        targets=classes,
        metrics=CLASSIFICATION_METRICS,
    )
    yield Component("model", "mine.net", "two layers", "my_task:Small", "my_task:NetSection", plane, classes)
    yield Component("data", "mine.spirals", "two spirals", "my_task:Spirals", "my_task:SpiralSection", plane, classes)


@dataclass(frozen=True)
class Plane(Fact):
    """Each input is a point of a plane."""


@dataclass
class NetSection:
    """Settings of the model."""

    width: int = setting(32, "hidden units", ge=1)


@dataclass
class SpiralSection:
    """Settings of the data."""

    points: int = setting(300, "points of each spiral", ge=10)


class Tell(Classification[ClassificationSection, Processor]):
    """Cross-entropy, as of every classification."""


class Spirals(DataModule[SpiralSection]):
    """Two spirals, shared out by number."""

    def prepare(self, target: type[Fact]) -> Prepared:
        """Make the points."""
        splits: dict[Split, list[Example]] = {"train": [], "val": [], "test": []}
        places: list[Split] = ["train"] * 8 + ["val", "test"]
        for number in range(2 * self.config.points):
            spiral, step = number % 2, number // 2
            turn = 4 * step / self.config.points + math.pi * spiral
            far = 0.2 + step / self.config.points
            point = [far * math.cos(turn), far * math.sin(turn)]
            splits[places[step % 10]].append(Example(str(number), point, spiral))
        return Prepared(DataSpec(Plane(), Classes(("one", "other")), f"spirals-{self.config}"), splits)


class Points(Processor):
    """Points as float tensors."""

    def read(self, source: str, options: Any) -> Sequence[Example]:
        """Read two numbers with a comma between them; raises DataError for anything else."""
        try:
            x, y = map(float, source.split(","))
        except ValueError:
            raise DataError(f"{source!r}: two numbers were expected, such as 0.3,0.4. Correct the input.") from None
        return [Example(source, [x, y])]

    def encode(self, example: Example) -> Sequence[Sample]:
        """One sample for each point."""
        sample = {"point": torch.tensor(example.input)}
        if example.target is not None:
            sample["target"] = torch.tensor(example.target)
        return [sample]


class Net(nn.Module):
    """One hidden layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 2))

    def forward(self, point: Tensor) -> Tensor:
        """(batch, 2) to (batch, 2)."""
        out: Tensor = self.layers(point)
        return out


class Small(Model[NetSection, Points]):
    """The network and its way in."""

    def processor(self, spec: DataSpec) -> Points:
        """Points."""
        return Points()

    def network(self, spec: DataSpec, processor: Points) -> nn.Module:
        """Sized by the settings."""
        return Net(self.config.width)
