"""A class for each pixel: data, a small U-Net, and metrics at the size of each picture."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from taskkit import (
    Attachment,
    Batch,
    DataError,
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
    Ratio,
    Sample,
    Split,
    Statistic,
    Step,
    Task,
)
from taskkit_segmentation import sections
from taskkit_segmentation.sections import UNLABELLED, Masks, Pictures

NAMES = ("ground", "field", "water")
COLOURS = np.array([[120, 100, 80], [90, 140, 70], [80, 110, 150]])


class Land(DataModule[sections.Land]):
    """A field and a pond on noisy ground; the sides of pictures are between 40 and 80 pixels."""

    def prepare(self, target: type[Fact]) -> Prepared:
        """Draw the pictures, which follow from their split and number alone."""
        c = self.config
        spec = DataSpec(Pictures(), Masks(NAMES), fingerprint=f"land-1-{c.train}-{c.val}-{c.test}")
        counts: dict[Split, int] = {"train": c.train, "val": c.val, "test": c.test}
        return Prepared(
            spec,
            {
                split: [drawn(f"{split}-{n}", np.random.default_rng([place, n])) for n in range(count)]
                for place, (split, count) in enumerate(counts.items())
            },
        )


def drawn(name: str, random: np.random.Generator) -> Example:
    """A picture and its mask; some of the mask's pixels are not labelled."""
    height, width = random.integers(40, 80, 2).tolist()
    mask = Image.new("L", (width, height))
    for label, shape in enumerate((ImageDraw.Draw(mask).rectangle, ImageDraw.Draw(mask).ellipse), 1):
        x, y = random.integers(0, width // 2), random.integers(0, height // 2)
        shape((x, y, x + random.integers(12, width // 2), y + random.integers(12, height // 2)), fill=label)
    classes = np.array(mask)
    noisy = COLOURS[classes] + random.normal(0, 30, (height, width, 3))
    classes[random.random((height, width)) < 0.02] = UNLABELLED
    return Example(name, noisy.clip(0, 255).astype(np.uint8), classes)


class Resized(Processor):
    """Pictures resized to one size; masks stay as they are."""

    def __init__(self, size: int, mirror: float) -> None:
        self.size = size
        self.mirror = mirror

    def read(self, source: str, options: Any) -> Sequence[Example]:
        """Read a picture file."""
        try:
            return [Example(source, np.asarray(Image.open(source).convert("RGB")))]
        except OSError as error:
            raise DataError(f"{source}: {error}. A picture was expected, such as a PNG file.") from None

    def encode(self, example: Example) -> Sequence[Sample]:
        """The picture at the network's size, and the mask at its own."""
        picture = Image.fromarray(example.input).resize((self.size, self.size), Image.Resampling.BILINEAR)
        sample = {"image": torch.tensor(np.asarray(picture)).permute(2, 0, 1)}
        if example.target is not None:
            sample |= {"target": torch.tensor(example.target), "target_size": torch.tensor(example.target.shape)}
        return [sample]

    def draw(self, sample: Sample, random: torch.Generator) -> Sample:
        """Mirror some pictures and their masks."""
        if torch.rand((), generator=random) >= self.mirror:
            return sample
        return {**sample, "image": sample["image"].flip(-1), "target": sample["target"].flip(-1)}

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Fill up the masks, to the right and below, to the largest."""
        batch = {name: torch.stack([sample[name] for sample in samples]) for name in samples[0] if name != "target"}
        if "target" in samples[0]:
            height, width = batch["target_size"].amax(0).tolist()
            batch["target"] = torch.stack(
                [
                    F.pad(mask, (0, width - mask.shape[1], 0, height - mask.shape[0]), value=UNLABELLED)
                    for mask in (sample["target"] for sample in samples)
                ]
            )
        return batch

    def settings(self) -> Mapping[str, Any]:
        """The size; mirrors come after encoding."""
        return {"size": self.size}


def layer(before: int, after: int) -> nn.Module:
    """A convolution, a norm and a nonlinearity."""
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.GroupNorm(4, after), nn.ReLU())


class Unet(nn.Module):
    """Two scales down and up again (Ronneberger et al., 2015)."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.fine, self.middle, self.coarse = layer(3, width), layer(width, 2 * width), layer(2 * width, 4 * width)
        self.up_middle, self.up_fine = layer(6 * width, 2 * width), layer(3 * width, width)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (batch, classes, size, size) for (batch, 3, size, size)."""
        fine = self.fine(image / 127.5 - 1)
        middle = self.middle(F.max_pool2d(fine, 2))
        coarse = self.coarse(F.max_pool2d(middle, 2))
        middle = self.up_middle(torch.cat([middle, F.interpolate(coarse, scale_factor=2.0)], 1))
        fine = self.up_fine(torch.cat([fine, F.interpolate(middle, scale_factor=2.0)], 1))
        logits: Tensor = self.head(fine)
        return logits


class UnetModel(Model[sections.Unet, Resized]):
    """The network and its way in."""

    def processor(self, spec: DataSpec) -> Resized:
        """Pictures of the size that the section says."""
        return Resized(self.config.size, self.config.mirror)

    def network(self, spec: DataSpec, processor: Resized) -> nn.Module:
        """One logit for each class of a pixel."""
        assert isinstance(spec.target, Masks)
        return Unet(len(spec.target.names), self.config.width)


class Segmentation(Task[NoOptions, Resized]):
    """Cross-entropy of pixels, at the size of each picture."""

    headline = Headline("miou", "max")

    def __init__(self, config: NoOptions, network: nn.Module, processor: Resized, spec: DataSpec) -> None:
        super().__init__(config, network, processor, spec)
        assert isinstance(spec.target, Masks)
        self.masks = spec.target

    def step(self, batch: Batch) -> Step:
        """The mean over all labelled pixels of the batch."""
        logits = self(batch)
        sizes = batch["target_size"].tolist()
        preds = torch.cat([enlarged(*each).flatten(1) for each in zip(logits, sizes, strict=True)], 1).T
        masks = [mask[:height, :width] for mask, (height, width) in zip(batch["target"], sizes, strict=True)]
        target = torch.cat([mask.flatten() for mask in masks]).long()
        loss = F.cross_entropy(preds, target, ignore_index=UNLABELLED)
        scored = {"preds": preds.detach().argmax(1), "target": target}
        return Step(loss, (target != UNLABELLED).sum(), "pixels", outputs=logits, scored=scored)

    def metrics(self) -> Mapping[str, Metric]:
        """The mean over classes of intersection over union, and the share of pixels that are right."""
        classes = len(self.masks.names)
        return {
            "miou": MulticlassJaccardIndex(classes, ignore_index=UNLABELLED),
            "pixel_accuracy": MulticlassAccuracy(classes, average="micro", ignore_index=UNLABELLED),
        }

    def scores(self, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        """How many labelled pixels of each picture are right, and how many there are."""
        sizes = batch["target_size"].tolist()
        answers = [enlarged(*each).argmax(0) for each in zip(step.outputs, sizes, strict=True)]
        masks = [mask[:height, :width] for mask, (height, width) in zip(batch["target"], sizes, strict=True)]
        right = [(answer == mask).sum() for answer, mask in zip(answers, masks, strict=True)]
        labelled = [(mask != UNLABELLED).sum() for mask in masks]
        return {"right": torch.stack(right).float(), "labelled": torch.stack(labelled).float()}

    def statistics(self) -> Mapping[str, Statistic]:
        """The share of right pixels is a ratio of sums; the mean over classes is none of single pictures."""
        return {"pixel_accuracy": Ratio("right", "labelled", ideal=1.0)}

    def predict(self, batch: Batch, outputs: Tensor, examples: Sequence[Example], options: Any) -> Sequence[Prediction]:
        """A picture of classes in the size of the input, and the share of each class."""
        predictions = []
        for logits, example in zip(outputs, examples, strict=True):
            classes = enlarged(logits, example.input.shape[:2]).argmax(0).to(torch.uint8).cpu().numpy()
            predictions.append({"prediction": Attachment(png(classes), ".png"), "shares": self.masks.readable(classes)})
        return predictions

    def baseline(self, train: Sequence[Example], test: Sequence[Example]) -> Mapping[str, float]:
        """What the commonest class everywhere would come to."""
        counts = sum(
            np.bincount(example.target.flat, minlength=UNLABELLED)[: len(self.masks.names)] for example in train
        )
        metrics = self.metrics()
        for example in test:
            target = torch.tensor(example.target).flatten().long()
            for metric in metrics.values():
                metric.update(torch.full_like(target, int(np.argmax(counts))), target)
        return {name: float(metric.compute()) for name, metric in metrics.items()}


def enlarged(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Logits (classes, height, width) of another size."""
    return F.interpolate(logits[None], tuple(size), mode="bilinear")[0]


def png(classes: NDArray[np.uint8]) -> bytes:
    """A picture file whose pixels are class numbers, which viewers show in colours."""
    picture, file = Image.fromarray(classes), io.BytesIO()
    picture.putpalette(COLOURS.astype(np.uint8).tobytes())
    picture.save(file, "PNG")
    return file.getvalue()
