"""A generator and a discriminator, trained in turn and judged by how far generated points are from real ones."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torchmetrics import Metric

from taskkit import (
    Batch,
    DataModule,
    DataSpec,
    Example,
    Fact,
    Headline,
    Model,
    NoOptions,
    Prediction,
    Prepared,
    Processor,
    Sample,
    Split,
    Step,
    Task,
)
from taskkit_gan import sections
from taskkit_gan.sections import Likeness, Points, Request


class Ring(DataModule[sections.Ring]):
    """Normal distributions whose centres are on a circle."""

    def prepare(self, target: type[Fact]) -> Prepared:
        """Draw the points, which follow from their split and number alone."""
        c = self.config
        spec = DataSpec(Points(2), Likeness(), fingerprint=f"ring-1-{c}")
        counts: dict[Split, int] = {"train": c.train, "val": c.val, "test": c.test}
        return Prepared(spec, {split: [self._drawn(f"{split}-{n}") for n in range(counts[split])] for split in counts})

    def _drawn(self, name: str) -> Example:
        draw, c = random.Random(name), self.config
        angle = 2 * math.pi * draw.randrange(c.centres) / c.centres
        return Example(name, (draw.gauss(math.cos(angle), c.deviation), draw.gauss(math.sin(angle), c.deviation)))


@dataclass(frozen=True)
class Draw:
    """The input of a point that is asked for: what its noise follows from."""

    seed: int
    number: int


class Coordinates(Processor):
    """Points as tensors, and noise for those that are asked for."""

    predict_options = Request

    def __init__(self, noise: int) -> None:
        self.noise = noise

    def requested(self, options: Request) -> Sequence[Example]:
        """As many points as were asked for."""
        draws = [Draw(options.seed, number) for number in range(options.count)]
        return [Example(f"seed {draw.seed}, point {draw.number}", draw) for draw in draws]

    def encode(self, example: Example) -> Sequence[Sample]:
        """A point, or the noise of one that is asked for."""
        if isinstance(example.input, Draw):
            generator = torch.Generator().manual_seed(example.input.seed)
            return [{"noise": torch.randn(example.input.number + 1, self.noise, generator=generator)[-1]}]
        return [{"point": torch.tensor(example.input)}]

    def settings(self) -> Mapping[str, Any]:
        """How much noise there is."""
        return {"noise": self.noise}


def mlp(*widths: int) -> nn.Module:
    """Linear layers with a nonlinearity between them."""
    layers = [each for a, b in pairwise(widths) for each in (nn.Linear(a, b), nn.LeakyReLU(0.2))]
    return nn.Sequential(*layers[:-1])


class Pair(nn.Module):
    """The two networks; asked for predictions, the generator alone answers."""

    def __init__(self, dimensions: int, noise: int, width: int) -> None:
        super().__init__()
        self.generator = mlp(noise, width, width, dimensions)
        self.discriminator = mlp(dimensions, width, width, 1)

    def forward(self, noise: Tensor) -> Tensor:
        """Points (batch, dimensions) of noise (batch, noise)."""
        points: Tensor = self.generator(noise)
        return points


class Mlps(Model[sections.Mlps, Coordinates]):
    """The networks and their way in."""

    def processor(self, spec: DataSpec) -> Coordinates:
        """Coordinates, and noise of the size that the section says."""
        return Coordinates(self.config.noise)

    def network(self, spec: DataSpec, processor: Coordinates) -> nn.Module:
        """Networks for points of this many dimensions."""
        assert isinstance(spec.input, Points)
        return Pair(spec.input.dimensions, processor.noise, self.config.width)


class EnergyDistance(Metric):
    """The energy distance (Székely and Rizzo, 2013) of two sets of points; 0 where they are distributed alike."""

    real: list[Tensor]
    generated: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("real", [], dist_reduce_fx="cat")
        self.add_state("generated", [], dist_reduce_fx="cat")

    def update(self, real: Tensor, generated: Tensor) -> None:
        """Add points, (batch, dimensions) of each."""
        self.real.append(real)
        self.generated.append(generated.to(real.dtype))

    def compute(self) -> Tensor:
        """Twice the mean distance between the sets, less that inside of each."""
        real, generated = torch.cat(self.real), torch.cat(self.generated)
        between = torch.cdist(real, generated).mean()
        return 2 * between - torch.cdist(real, real).mean() - torch.cdist(generated, generated).mean()


class Adversarial(Task[NoOptions, Coordinates]):
    """The non-saturating game of Goodfellow et al. (2014)."""

    headline = Headline("energy_distance", "min")
    phases = ("discriminator", "generator")
    network: Pair

    def phase_step(self, batch: Batch, phase: str) -> Step:
        """Tell real points from generated ones, or generate such that are taken for real."""
        real = batch["point"]
        generated = self.network.generator(torch.randn(len(real), self.processor.noise, device=real.device))
        judge = self.network.discriminator
        if phase == "discriminator":
            loss = softplus(-judge(real)).mean() + softplus(judge(generated.detach())).mean()
        else:
            loss = softplus(-judge(generated)).mean()
        return Step(loss, len(real))

    def step(self, batch: Batch) -> Step:
        """Generate as many points as there are; neither loss of the game says how good they are."""
        generated = self(batch)
        scored = {"real": batch["point"], "generated": generated}
        return Step(None, len(generated), outputs=generated, scored=scored)

    def forward(self, batch: Batch) -> Tensor:
        """Generate a point for each, of noise that it brings or that follows from its number."""
        noise = batch.get("noise")
        if noise is None:
            random = [torch.Generator().manual_seed(number) for number in batch["example"].tolist()]
            noise = torch.stack([torch.randn(self.processor.noise, generator=each) for each in random])
        points: Tensor = self.network(noise.to(batch["example"].device))
        return points

    def metrics(self) -> Mapping[str, Metric]:
        """The energy distance between generated and real points."""
        return {"energy_distance": EnergyDistance()}

    def predict(self, batch: Batch, outputs: Tensor, examples: Sequence[Example], options: Any) -> Sequence[Prediction]:
        """The coordinates."""
        return [{"prediction": point} for point in outputs.tolist()]

    def baseline(self, train: Sequence[Example], test: Sequence[Example]) -> Mapping[str, float]:
        """The distance of one normal distribution with the mean and covariance of the training points."""
        known = torch.tensor([example.input for example in train])
        normal = torch.distributions.MultivariateNormal(known.mean(0), known.T.cov())
        metric = EnergyDistance()
        metric.update(torch.tensor([example.input for example in test]), normal.sample((1000,)))
        return {"energy_distance": float(metric.compute())}
