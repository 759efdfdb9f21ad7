"""Vectors of pictures in which those of one class are near each other, and an index of the training pictures."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from taskkit import (
    Batch,
    Classes,
    DataError,
    DataModule,
    DataSpec,
    Example,
    Fact,
    Headline,
    Installed,
    Mean,
    Model,
    Prediction,
    Prepared,
    Processor,
    Sample,
    Split,
    Statistic,
    Step,
    Task,
    TaskkitError,
    by_share,
    fetch,
)
from taskkit_retrieval import sections
from taskkit_retrieval.sections import Pixels

FILE = "digits.csv.gz"
SHA256 = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"
SIZE, WHITE = 8, 16
"""Of the digits: pixels a side, and the brightest value."""


class Digits(DataModule[sections.Digits]):
    """1 797 written digits, split by a hash of their ids."""

    def prepare(self, target: type[Fact]) -> Prepared:
        """Read the file that scikit-learn installs; raises SourceError without it."""
        c = self.config
        source = Installed("scikit-learn", root="sklearn/datasets/data")
        folder, origin = fetch("digits", {FILE: SHA256}, [source], licence="BSD-3-Clause")
        splits: dict[Split, list[Example]] = {"train": [], "val": [], "test": []}
        for number, row in enumerate(np.loadtxt(folder / FILE, dtype=np.uint8, delimiter=",")):
            example = Example(f"digit-{number:04d}", row[:-1].reshape(SIZE, SIZE), int(row[-1]))
            splits[by_share(example.id, c.val, c.test)].append(example)
        spec = DataSpec(Pixels(SIZE), Classes(tuple("0123456789")), f"digits-{SHA256}-{c.val}-{c.test}", (origin,))
        return Prepared(spec, splits)


class Pictures(Processor):
    """Pictures as they are."""

    def __init__(self, size: int) -> None:
        self.size = size

    def read(self, source: str, options: Any) -> Sequence[Example]:
        """A picture file, bright on dark; raises DataError when it is none."""
        try:
            with Image.open(Path(source)) as image:
                pixels = np.asarray(image.convert("L").resize((self.size, self.size)))
        except OSError as error:
            raise DataError(f"{source}: {error}. A picture was expected.") from None
        return [Example(source, (pixels / 255 * WHITE).round().astype(np.uint8))]

    def encode(self, example: Example) -> Sequence[Sample]:
        """The pixels, and the class where it is known."""
        sample = {"pixels": torch.tensor(example.input)}
        if example.target is not None:
            sample["target"] = torch.tensor(example.target)
        return [sample]

    def settings(self) -> Mapping[str, Any]:
        """None: the pixels are the data's."""
        return {}


class Network(nn.Module):
    """One hidden layer, with dropout."""

    def __init__(self, c: sections.Encoder, size: int) -> None:
        super().__init__()
        layers = [nn.Linear(size * size, c.hidden), nn.ReLU(), nn.Dropout(c.dropout), nn.Linear(c.hidden, c.width)]
        self.layers = nn.Sequential(*layers)

    def forward(self, pixels: Tensor) -> Tensor:
        """Bytes (batch, size, size) to vectors of length 1 (batch, width)."""
        return F.normalize(self.layers(pixels.flatten(1) / WHITE).float(), dim=-1)


class Encoder(Model[sections.Encoder, Pictures]):
    """The network and its way in."""

    def processor(self, spec: DataSpec) -> Pictures:
        """Pictures of the data's size."""
        assert isinstance(spec.input, Pixels)
        return Pictures(spec.input.size)

    def network(self, spec: DataSpec, processor: Pictures) -> nn.Module:
        """Sized by the settings and the pictures."""
        return Network(self.config, processor.size)


class Precision(Metric):
    """The share of examples whose nearest neighbour is of their class.

    Neighbours are those that `update` is given, else the other examples of the split.
    """

    full_state_update = False
    vectors: list[Tensor]
    targets: list[Tensor]
    right: Tensor
    judged: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("vectors", [], dist_reduce_fx="cat")
        self.add_state("targets", [], dist_reduce_fx="cat")
        self.add_state("right", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("judged", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, vectors: Tensor, target: Tensor, nearest: Tensor | None = None) -> None:
        """Take vectors (batch, width), classes (batch,), and those of the neighbours where they are known (batch,)."""
        if nearest is None:
            self.vectors.append(vectors)
            self.targets.append(target)
        else:
            self.right += (nearest == target).sum()
            self.judged += len(target)

    def compute(self) -> Tensor:
        """Look for the neighbours that are not known yet."""
        if self.judged > 0:
            return self.right / self.judged
        vectors, target = dim_zero_cat(self.vectors), dim_zero_cat(self.targets)
        nearest = (vectors @ vectors.T).fill_diagonal_(-2).argmax(1)
        return (target[nearest] == target).float().mean()


class Index(NamedTuple):
    """The training examples: their vectors (examples, width), classes (examples,) and ids."""

    vectors: Tensor
    classes: Tensor
    ids: Sequence[str]


class Retrieve(Task[sections.Retrieve, Pictures]):
    """Supervised contrastive learning (Khosla et al., 2020), and the nearest training examples as answers.

    Where several processes train, each compares the examples of its own batch alone.
    """

    headline = Headline("precision@1", "max")
    compares_samples = True
    predict_options = sections.Nearest
    index: Index | None = None
    """Made when training ends."""

    def step(self, batch: Batch) -> Step:
        """For each example, the mean cross-entropy of those of its class among the others of the batch."""
        vectors, target = self(batch), batch["target"]
        itself = torch.eye(len(target), dtype=torch.bool, device=target.device)
        similarity = (vectors @ vectors.T / self.config.temperature).masked_fill(itself, -1e9)
        alike = (target[:, None] == target) & ~itself
        losses = -similarity.log_softmax(1).where(alike, 0).sum(1) / alike.sum(1).clamp(min=1)
        count = alike.any(1).sum()  # one of a kind teaches nothing
        scored = {"vectors": vectors.detach(), "target": target}
        if self.index is not None:
            scored["nearest"] = self.index.classes.to(target.device)[self._similarity(vectors).argmax(1)]
        return Step(losses.sum() / count.clamp(min=1), count, over="anchors", outputs=vectors, scored=scored)

    def metrics(self) -> Mapping[str, Metric]:
        """Precision at 1."""
        return {"precision@1": Precision()}

    def scores(self, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        """Whether the nearest training example has the right class, once there is an index."""
        nearest = step.scored.get("nearest")
        return {} if nearest is None else {"correct": (nearest == batch["target"]).float()}

    def statistics(self) -> Mapping[str, Statistic]:
        """The precision is the mean of what is right."""
        return {"precision@1": Mean("correct", ideal=1.0)}

    def conclude(
        self, batches: Callable[[Split], Iterable[Batch]], ids: Callable[[Split], Sequence[str]]
    ) -> Mapping[str, Any]:
        """Make the index."""
        rows = [(self(batch), batch["target"], batch["example"]) for batch in batches("train")]
        vectors, classes, numbers = (torch.cat(column) for column in zip(*rows, strict=True))
        known = ids("train")
        return {"vectors": vectors, "classes": classes, "ids": [known[number] for number in numbers.tolist()]}

    def load_conclusion(self, conclusion: Mapping[str, Any]) -> None:
        """Take the index."""
        self.index = Index(**conclusion)

    def predict(
        self, batch: Batch, outputs: Tensor, examples: Sequence[Example], options: sections.Nearest
    ) -> Sequence[Prediction]:
        """The ids of the nearest training examples, the nearest first, and how near they are, up to 1."""
        if self.index is None:
            raise TaskkitError("This run has no index yet. Go on with it first: taskkit run --resume RUN.")
        ids = self.index.ids
        nearest = self._similarity(outputs).topk(min(options.top, len(ids)))
        rows = zip(nearest.indices.tolist(), nearest.values.tolist(), strict=True)
        return [{"prediction": [{"id": ids[at], "similarity": s} for at, s in zip(*row, strict=True)]} for row in rows]

    def baseline(self, train: Sequence[Example], test: Sequence[Example]) -> Mapping[str, float]:
        """What a training example at random comes to."""
        counts = Counter(example.target for example in train)
        return {"precision@1": sum(counts[example.target] for example in test) / len(test) / len(train)}

    def protocol(self) -> Mapping[str, Any]:
        """Among what the nearest is looked for."""
        return {"precision@1": "nearest of all training examples; before there is an index, of the others of the split"}

    def _similarity(self, vectors: Tensor) -> Tensor:
        assert self.index is not None
        return vectors @ self.index.vectors.to(vectors.device).T
