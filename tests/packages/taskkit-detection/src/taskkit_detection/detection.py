"""Boxes around objects: data, torchvision's RetinaNet, and mean average precision."""

import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torchmetrics import Metric
from torchmetrics.detection import MeanAveragePrecision
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.transforms.v2.functional import resize

from taskkit import (
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
    Results,
    Sample,
    Split,
    Step,
    Table,
    Task,
    TaskkitError,
)
from taskkit_detection import sections
from taskkit_detection.sections import Boxes, Pictures

NAMES = ("ring", "square")


class Shapes(DataModule[sections.Shapes]):
    """Up to three coloured squares and rings on textured ground, none where others are."""

    def prepare(self, target: type[Fact]) -> Prepared:
        """Draw the pictures, which follow from their number alone."""
        c = self.config
        spec = DataSpec(Pictures(c.size), Boxes(NAMES), fingerprint=f"shapes-1-{c.train}-{c.val}-{c.test}-{c.size}")
        counts: dict[Split, int] = {"train": c.train, "val": c.val, "test": c.test}
        return Prepared(
            spec, {split: [drawn(f"{split}-{n}", c.size) for n in range(count)] for split, count in counts.items()}
        )

    def augment(self, batch: Batch) -> Batch:
        """Mirror some pictures and their boxes."""
        image, boxes = batch["image"], batch["target_boxes"]
        flip = torch.rand(len(image), device=image.device) < self.config.flip
        left, top, right, bottom = boxes.unbind(-1)
        mirrored = torch.stack([image.shape[-1] - right, top, image.shape[-1] - left, bottom], -1)
        return {
            **batch,
            "image": torch.where(flip[:, None, None, None], image.flip(-1), image),
            "target_boxes": torch.where(flip[:, None, None], mirrored, boxes),
        }


def drawn(name: str, size: int) -> Example:
    """The picture of this name, with the boxes of its shapes."""
    draw = random.Random(name)
    noise = np.random.default_rng(draw.getrandbits(32)).integers(60, 120, (size // 4, size // 4, 3), np.uint8)
    picture = Image.fromarray(noise).resize((size, size), Image.Resampling.BILINEAR)
    objects: list[dict[str, Any]] = []
    for _ in range(draw.randint(0, 3)):
        side = draw.randint(size // 5, size * 2 // 5)
        x, y = draw.randint(0, size - side), draw.randint(0, size - side)
        if all(abs(x - o["box"][0]) > size * 2 // 5 or abs(y - o["box"][1]) > size * 2 // 5 for o in objects):
            label, colour = draw.choice(NAMES), tuple(draw.randint(140, 255) for _ in range(3))
            where, pen = (x, y, x + side - 1, y + side - 1), ImageDraw.Draw(picture)
            if label == "ring":
                pen.ellipse(where, outline=colour, width=side // 4)
            else:
                pen.rectangle(where, fill=colour)
            objects.append({"label": label, "box": [x, y, x + side, y + side]})
    return Example(name, np.asarray(picture), objects)


class Squares(Processor):
    """Pictures as squares of one size; boxes are padded, their labels with -1."""

    def __init__(self, size: int, names: Sequence[str]) -> None:
        self.size = size
        self.names = list(names)

    def read(self, source: str, options: Any) -> Sequence[Example]:
        """Read a picture file."""
        try:
            return [Example(source, np.asarray(Image.open(source).convert("RGB")))]
        except OSError as error:
            raise DataError(f"{source}: {error}. A picture was expected, such as a PNG file.") from None

    def encode(self, example: Example) -> Sequence[Sample]:
        """Resize picture and boxes alike."""
        image = torch.tensor(example.input).permute(2, 0, 1)
        sample = {"image": resize(image, [self.size, self.size])}
        if example.target is not None:
            boxes = torch.tensor([each["box"] for each in example.target], dtype=torch.float32).view(-1, 4)
            sample["target_boxes"] = boxes * self.size / pixels(example)
            sample["target_labels"] = torch.tensor([self.names.index(each["label"]) for each in example.target]).long()
        return [sample]

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Pad boxes and labels to the most that a picture of the batch has."""
        batch = {"image": torch.stack([sample["image"] for sample in samples])}
        for name, filler in (("target_boxes", 0.0), ("target_labels", -1.0)):
            if name in samples[0]:
                batch[name] = pad_sequence([sample[name] for sample in samples], batch_first=True, padding_value=filler)
        return batch

    def settings(self) -> Mapping[str, Any]:
        """The size and the order of the classes."""
        return {"size": self.size, "names": self.names}


def pixels(example: Example) -> Tensor:
    """Width, height, width and height of a picture."""
    height, width, _ = example.input.shape
    return torch.tensor([width, height, width, height])


class Detector(nn.Module):
    """RetinaNet (Lin et al., 2017) on one map of features, a cell for 8 x 8 pixels."""

    def __init__(self, classes: int, size: int, width: int, anchors: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((3, width // 2), (width // 2, width), (width, width)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(4, after), nn.ReLU()]
        backbone = nn.Sequential(*layers)
        backbone.out_channels = width  # type: ignore[assignment] # what torchvision reads
        self.retina = RetinaNet(
            backbone,
            classes,
            min_size=size,
            max_size=size,
            anchor_generator=AnchorGenerator((tuple(anchors),), ((1.0,),)),
            head=RetinaNetHead(width, len(anchors), classes, partial(nn.GroupNorm, 4)),
            detections_per_img=20,
        )

    def forward(self, image: Tensor, targets: Sequence[Mapping[str, Tensor]] | None = None) -> Any:
        """Losses by name in training, and else boxes, labels and scores for each of (batch, 3, size, size)."""
        return self.retina([*(image / 255)], targets)


class Retina(Model[sections.Retina, Squares]):
    """The network and its way in."""

    def processor(self, spec: DataSpec) -> Squares:
        """Squares of the size and classes that the data state."""
        assert isinstance(spec.input, Pictures)
        assert isinstance(spec.target, Boxes)
        return Squares(spec.input.size, spec.target.names)

    def network(self, spec: DataSpec, processor: Squares) -> nn.Module:
        """A network for these."""
        return Detector(len(processor.names), processor.size, self.config.width, self.config.anchors)

    def exportable(self, network: nn.Module) -> nn.Module:
        """None: torchvision keeps of each picture as many boxes as it finds."""
        raise TaskkitError(
            "detection.retinanet: how many boxes torchvision keeps of a picture depends on the picture, which no "
            "program can know. Export its `retina.backbone` and `retina.head` by hand."
        )


class Detection(Task[NoOptions, Squares]):
    """The network's own losses in training, mean average precision of what it finds in evaluation."""

    headline = Headline("map", "max")
    predict_options = sections.Answer

    def step(self, batch: Batch) -> Step:
        """The losses are means over pictures; in evaluation there are none."""
        given = zip(batch["target_boxes"], batch["target_labels"], strict=True)
        targets = [{"boxes": boxes[labels >= 0], "labels": labels[labels >= 0]} for boxes, labels in given]
        if self.training:
            losses = self.network(batch["image"], targets)
            return Step(sum(losses.values()), len(targets), scalars=losses)
        found = self(batch)
        return Step(None, len(targets), outputs=found, scored={"preds": found, "target": targets})

    def metrics(self) -> Mapping[str, Metric]:
        """Mean average precision as COCO has it, over all classes and for each."""
        return {"map": MeanAveragePrecision(class_metrics=True)}

    def predict(
        self, batch: Batch, outputs: Any, examples: Sequence[Example], options: sections.Answer
    ) -> Sequence[Prediction]:
        """The objects in each picture, in its own pixels, the surest first."""
        predictions = []
        for found, example in zip(outputs, examples, strict=True):
            boxes = found["boxes"].cpu() * pixels(example) / self.processor.size
            rows = zip(found["labels"].tolist(), found["scores"].tolist(), boxes.tolist(), strict=True)
            objects = [
                {"label": self.processor.names[label], "score": score, "box": box}
                for label, score, box in rows
                if score >= options.threshold
            ]
            predictions.append({"prediction": objects})
        return predictions

    def baseline(self, train: Sequence[Example], test: Sequence[Example]) -> Mapping[str, float]:
        """What the mean box of each class, in every picture, would come to."""
        samples = [self.processor.encode(example)[0] for example in train]
        labels = torch.cat([sample["target_labels"] for sample in samples])
        boxes = torch.cat([sample["target_boxes"] for sample in samples])
        known = torch.tensor(sorted(set(labels.tolist())))
        mean = torch.stack([boxes[labels == label].mean(0) for label in known])
        metric = MeanAveragePrecision()
        for example in test:
            sample = self.processor.encode(example)[0]
            target = {"boxes": sample["target_boxes"], "labels": sample["target_labels"]}
            metric.update([{"boxes": mean, "labels": known, "scores": torch.ones(len(known))}], [target])
        return {"map": float(metric.compute()["map"])}

    def tables(self, results: Results) -> Mapping[str, Table]:
        """The average precision of each class of the split."""
        names = [self.processor.names[number] for number in results["map_classes"].view(-1).tolist()]
        return {"classes": {"class": names, "average precision": results["map_per_class"].view(-1).tolist()}}
