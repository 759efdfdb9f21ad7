"""Pictures and captions in one space: the task, its metric, two towers, and made pictures."""

import math
import random
from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, UnidentifiedImageError
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from taskkit import (
    Batch,
    DataError,
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
    Split,
    Step,
    Task,
    TaskkitError,
    by_share,
)
from taskkit_contrast import sections
from taskkit_contrast.sections import Caption, Captioned, Picture

SIZES = {"small": 0.1, "large": 0.16}
COLOURS = ("red", "green", "blue", "yellow", "purple", "white")
SHAPES = {"circle": (30, 0), "square": (4, 0), "diamond": (4, 45), "triangle": (3, 0)}
"""The corners of each shape, and by how many degrees it is turned."""
PLACES = ("top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right")


class Shapes(DataModule[sections.Shapes]):
    """A picture of each shape, in each colour and size, at each place; its split is decided by its caption."""

    def prepare(self, target: type[Fact]) -> Prepared:
        """Draw all pictures."""
        c = self.config
        splits: dict[Split, list[Example]] = {"train": [], "val": [], "test": []}
        for kind in product(SIZES, COLOURS, SHAPES, PLACES):
            caption = "a {} {} {} at the {}".format(*kind)
            example = Example(caption, {"picture": draw(*kind, c.size), "caption": caption})
            splits[by_share(caption, c.val, c.test)].append(example)
        spec = DataSpec(Captioned({"picture": Picture(c.size), "caption": Caption()}), target(), f"shapes-{c}")
        return Prepared(spec, splits)

    def augment(self, batch: Batch) -> Batch:
        """Add noise to the pictures."""
        picture = batch["picture"]
        return {**batch, "picture": picture // 4 * 3 + torch.randint_like(picture, 64)}


def draw(size: str, colour: str, shape: str, place: str, pixels: int) -> np.ndarray[Any, Any]:
    """A picture, bytes (pixels, pixels, 3): a little off its place, on some grey; drawn four times as large first."""
    chance = random.Random(f"{size} {colour} {shape} {place}")
    large, (row, column), (corners, turn) = pixels * 4, divmod(PLACES.index(place), 3), SHAPES[shape]
    x, y = (large * (0.2 + 0.3 * at + chance.uniform(-0.04, 0.04)) for at in (column, row))
    picture = Image.new("RGB", (large, large), (chance.randrange(40, 90),) * 3)
    ImageDraw.Draw(picture).regular_polygon((x, y, large * SIZES[size]), corners, turn, colour)
    return np.asarray(picture.resize((pixels, pixels)))


class PicturesAndWords(Processor):
    """Pictures as bytes, captions as the numbers of their words: 0 is no word, 1 is one that training did not have."""

    def __init__(self, size: int, longest: int) -> None:
        self.size = size
        self.longest = longest
        self.words: list[str] = []

    def fit(self, examples: Sequence[Example]) -> None:
        """Learn the words."""
        self.words = sorted({word for example in examples for word in example.input["caption"].split()})

    def read(self, source: str, options: Any) -> Sequence[Example]:
        """A picture file; raises DataError when it is none."""
        try:
            with Image.open(Path(source)) as image:
                pixels = np.asarray(image.convert("RGB").resize((self.size, self.size)))
        except (OSError, UnidentifiedImageError) as error:
            raise DataError(f"{source}: {error}. A picture was expected.") from None
        return [Example(source, {"picture": pixels})]

    def encode(self, example: Example) -> Sequence[Sample]:
        """A picture, and its caption where it has one."""
        picture = torch.tensor(example.input["picture"]).permute(2, 0, 1)
        if "caption" not in example.input:
            return [{"picture": picture}]
        caption = example.input["caption"]
        truncated = torch.tensor(len(caption.split()) > self.longest)
        return [{"picture": picture, "caption": self.numbers(caption), "flag_truncated": truncated}]

    def numbers(self, caption: str) -> Tensor:
        """The numbers of the words, (longest,)."""
        known = {word: number for number, word in enumerate(self.words, 2)}
        numbers = [known.get(word, 1) for word in caption.split()][: self.longest]
        return F.pad(torch.tensor(numbers), (0, self.longest - len(numbers)))

    def settings(self) -> Mapping[str, Any]:
        """How many words are read; the size of pictures is the data's."""
        return {"longest": self.longest}

    def state_dict(self) -> Mapping[str, Any]:
        """The words."""
        return {"words": self.words}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back the words."""
        self.words = state["words"]


class Network(nn.Module):
    """Three convolutions for pictures, a bag of words for captions, and layers on top of each."""

    def __init__(self, c: sections.Towers, words: int, size: int) -> None:
        super().__init__()
        channels = [3, c.channels, 2 * c.channels, 4 * c.channels]
        layers = [layer for a, b in pairwise(channels) for layer in (nn.Conv2d(a, b, 3, 2, 1), nn.ReLU())]
        side = math.ceil(size / 8)
        self.picture = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * side**2, c.width))
        bag = nn.EmbeddingBag(words, c.width, mode="sum", padding_idx=0)
        self.caption = nn.Sequential(bag, nn.Linear(c.width, c.width), nn.ReLU(), nn.Linear(c.width, c.width))

    def forward(self, picture: Tensor | None = None, caption: Tensor | None = None) -> Mapping[str, Tensor]:
        """Bytes (batch, 3, size, size), numbers of words (batch, words), or both, to unit vectors (batch, width)."""
        vectors = {}
        if picture is not None:
            vectors["picture"] = self.picture(picture / 127.5 - 1)
        if caption is not None:
            vectors["caption"] = self.caption(caption)
        return {name: F.normalize(each.float(), dim=-1) for name, each in vectors.items()}


class Towers(Model[sections.Towers, PicturesAndWords]):
    """The network and its way in."""

    def processor(self, spec: DataSpec) -> PicturesAndWords:
        """Pictures of the data's size."""
        assert isinstance(spec.input, Captioned)
        picture = spec.input["picture"]
        assert isinstance(picture, Picture)
        return PicturesAndWords(picture.size, self.config.words)

    def network(self, spec: DataSpec, processor: PicturesAndWords) -> nn.Module:
        """Sized by the settings and the words."""
        return Network(self.config, len(processor.words) + 2, processor.size)


class Recall(Metric):
    """The share of pictures whose own caption is among the k nearest of the split; one as near counts as nearer."""

    full_state_update = False
    pictures: list[Tensor]
    captions: list[Tensor]

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k
        self.add_state("pictures", [], dist_reduce_fx="cat")
        self.add_state("captions", [], dist_reduce_fx="cat")

    def update(self, picture: Tensor, caption: Tensor) -> None:
        """Keep the vectors of a batch, (batch, width); a picture and its caption have the same place."""
        self.pictures.append(picture)
        self.captions.append(caption)

    def compute(self) -> Tensor:
        """Compare each picture with all captions."""
        similarity = dim_zero_cat(self.pictures) @ dim_zero_cat(self.captions).T
        own = similarity.diagonal()[:, None]
        return ((similarity >= own).sum(1) <= self.k).float().mean()


class Contrast(Task[sections.Contrast, PicturesAndWords]):
    """Each picture's caption among those of its batch, and each caption's picture, as CLIP (Radford et al., 2021).

    Where several processes train, the others of a batch are those on the same device alone: it is `loader.batch_size`
    that says among how many is chosen, and two processes do not learn what one with twice the batch would.
    """

    headline = Headline("recall@1", "max")
    predict_options = sections.Choose
    predicts_in_test = False
    compares_samples = True

    def __init__(
        self, config: sections.Contrast, network: nn.Module, processor: PicturesAndWords, spec: DataSpec
    ) -> None:
        super().__init__(config, network, processor, spec)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(config.temperature)))

    def step(self, batch: Batch) -> Step:
        """The mean of both cross-entropies."""
        vectors: Mapping[str, Tensor] = self(batch)
        logits = self.scale * vectors["picture"] @ vectors["caption"].T
        own = torch.arange(len(logits), device=logits.device)
        loss = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
        scored = {name: each.detach() for name, each in vectors.items()}
        return Step(loss, len(own), outputs=vectors, scored=scored, scalars={"temperature": 1 / self.scale})

    def metrics(self) -> Mapping[str, Metric]:
        """Recall among all captions of the split."""
        return {"recall@1": Recall(1), "recall@5": Recall(5)}

    def scores(self, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        """How near each picture and its caption are, from -1 to 1."""
        return {"similarity": (step.outputs["picture"] * step.outputs["caption"]).sum(1)}

    def check_options(self, options: sections.Choose) -> None:
        """Raise TaskkitError for a caption of which no word is known, and without any."""
        known = self.processor.words
        for caption in options.captions.split(","):
            if not set(caption.split()) & set(known):
                raise TaskkitError(
                    f"--captions: {caption!r} has no word that is known. Use some of {', '.join(known)}."
                )

    def predict(
        self, batch: Batch, outputs: Mapping[str, Tensor], examples: Sequence[Example], options: sections.Choose
    ) -> Sequence[Prediction]:
        """The nearest of the captions, and its probability among them."""
        captions = [caption.strip() for caption in options.captions.split(",")]
        numbers = torch.stack([self.processor.numbers(caption) for caption in captions])
        vectors = self.network(caption=numbers.to(outputs["picture"].device))["caption"]
        best = (self.scale * outputs["picture"] @ vectors.T).softmax(-1).max(-1)
        return [
            {"prediction": captions[number], "probability": probability}
            for probability, number in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]

    def baseline(self, train: Sequence[Example], test: Sequence[Example]) -> Mapping[str, float]:
        """What guessing comes to."""
        return {f"recall@{k}": min(1.0, k / len(test)) for k in (1, 5)}

    def protocol(self) -> Mapping[str, Any]:
        """Among what a caption is looked for."""
        return {"recall@k": "of the caption of each picture among all captions of the split; as near is nearer"}

    @property
    def scale(self) -> Tensor:
        """One over the temperature, at most 100 as in CLIP."""
        return self.log_scale.exp().clamp(max=100)
