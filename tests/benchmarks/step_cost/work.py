"""The work that every driver does: networks, random images, and a loss with four scalars beside it."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from step_cost.sections import Pixels
from step_cost.stopwatch import Stopwatch
from taskkit import (
    Batch,
    Classes,
    DataModule,
    DataSpec,
    Example,
    Fact,
    Headline,
    Model,
    Prediction,
    Prepared,
    Processor,
    Sample,
    Step,
    Task,
    Unit,
)


def objective(logits: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The cross-entropy of logits (batch, classes), and four scalars that a person might want to follow."""
    loss = functional.cross_entropy(logits, target)
    with torch.no_grad():
        scalars = {
            "accuracy": (logits.argmax(-1) == target).float().mean(),
            "mean": logits.mean(),
            "spread": logits.std(),
            "largest": logits.max(),
        }
    return loss, scalars


class Classify(Task):
    """The objective under taskkit: five scalars a step, the loss among them."""

    headline = Headline("accuracy", "max")

    def __init__(self, config: Any, network: nn.Module, processor: Processor, spec: DataSpec) -> None:
        super().__init__(config, network, processor, spec)
        self.stopwatch = Stopwatch(config)

    def step(self, batch: Batch) -> Step:
        """Compute the objective and its scalars."""
        logits, target = self(batch), batch["target"]
        loss, scalars = objective(logits, target)
        self.stopwatch.tick(loss)
        scored = {"preds": logits, "target": target}
        return Step(loss, len(target), outputs=logits, scored=scored, scalars=scalars)

    def metrics(self) -> Mapping[str, Metric]:
        """Accuracy."""
        assert isinstance(self.spec.target, Classes)
        return {"accuracy": MulticlassAccuracy(len(self.spec.target.names), average="micro")}

    def predict(self, batch: Batch, outputs: Any, examples: Sequence[Example], options: Any) -> Sequence[Prediction]:
        """The number of the class."""
        return [{"prediction": number} for number in outputs.argmax(-1).tolist()]


class Noise(DataModule):
    """Images and classes drawn from a generator seeded by their number."""

    def prepare(self, target: type[Fact]) -> Prepared:
        """State the sizes; a training split alone."""
        c = self.config
        spec = DataSpec(Pixels(c.size), Classes(tuple(map(str, range(c.classes)))), fingerprint=f"noise-{c}")
        return Prepared(spec, {"train": [self._example(number) for number in range(c.samples)]})

    def _example(self, number: int) -> Example:
        c, generator = self.config, torch.Generator().manual_seed(number)
        image = torch.randint(256, (3, c.size, c.size), dtype=torch.uint8, generator=generator)
        return Example(str(number), image, int(torch.randint(c.classes, (), generator=generator)))


class Images(Processor):
    """Images as they are."""

    unit = Unit("images")

    def read(self, source: str, options: Any) -> Sequence[Example]:
        """Nobody predicts noise."""
        raise NotImplementedError

    def encode(self, example: Example) -> Sequence[Sample]:
        """One uint8 image and its class."""
        return [{"image": example.input, "target": torch.tensor(example.target)}]


class Scaled(nn.Module):
    """A network of images between -1 and 1, given uint8 images."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """(batch, 3, size, size) to (batch, classes)."""
        out: Tensor = self.network(image.to(torch.float32).div(127.5).sub(1.0))
        return out


class Mlp(Model):
    """A multilayer perceptron, so small that a step is mostly the host's."""

    def processor(self, spec: DataSpec) -> Processor:
        """Images."""
        return Images()

    def network(self, spec: DataSpec, processor: Processor) -> nn.Module:
        """Sized by the facts."""
        assert isinstance(spec.input, Pixels)
        assert isinstance(spec.target, Classes)
        c = self.config
        widths = [3 * spec.input.size**2, *[c.width] * c.depth]
        hidden = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
        head = nn.Linear(c.width, len(spec.target.names))
        return Scaled(nn.Sequential(nn.Flatten(), *hidden, head))
