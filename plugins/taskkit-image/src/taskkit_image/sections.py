"""The settings of this plugin's tasks, models and data in a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from taskkit import TABLE_SUFFIXES, ClassificationSection, Problems, setting, table_problems
from taskkit_image.facts import BACKGROUND, MAX_PIXELS, MOST_PIXELS

WEIGHTS = (".safetensors", ".pt", ".pth", ".bin")


@dataclass
class ReadImages:
    """How `taskkit predict` reads what it is asked about."""

    column: str = setting("path", "the column of image files, where a table lists them")
    delimiter: str | None = setting(None, "what stands between the cells of a CSV or TSV file; null: what is found")
    encoding: str | None = setting(
        None, "what a CSV, TSV or JSON lines file is in, as windows-1250; null: what is certain"
    )


@dataclass
class ImageClassification(ClassificationSection):
    """Choose one class for each image."""

    mixup: float = setting(0.0, "Beta parameter of MixUp, which blends pairs of training images; 0: none", ge=0)
    cutmix: float = setting(0.0, "Beta parameter of CutMix, which pastes parts of images; 0: none", ge=0)


@dataclass
class Vit:
    """A vision transformer, trained from scratch."""

    image_size: int | None = setting(None, "height and width in pixels; null: the data's own", ge=1)
    patch: int = setting(4, "height and width of a patch in pixels; must divide the image's", ge=1)
    width: int = setting(128, "size of a token; must be a multiple of heads", ge=4)
    depth: int = setting(6, "transformer blocks", ge=1)
    heads: int = setting(4, "attention heads", ge=1)
    mlp_ratio: float = setting(4.0, "hidden size of a block's perceptron, in widths", gt=0)
    dropout: float = setting(0.0, "share of activations dropped in training", ge=0, lt=1)
    drop_path: float = setting(
        0.0, "share of images that skip the last block in training; less in earlier ones", ge=0, lt=1
    )
    position: Literal["learned", "sincos"] = setting("sincos", "how a token knows its place; sincos is fixed")
    stem: Literal["patch", "conv"] = setting("conv", "patch: cut the image as it is; conv: after two 3×3 convolutions")
    stem_width: int = setting(16, "channels of the convolutions of the stem", ge=1)

    def problems(self) -> Problems:
        """Heads and positions that do not suit the width, patches that do not fill the image."""
        if self.width % self.heads:
            yield (
                "heads",
                f"{self.heads} heads cannot share a width of {self.width}. It must be a multiple of heads.",
            )
        if self.position == "sincos" and self.width % 4:
            yield (
                "width",
                f"{self.width} does not suit sincos positions. Use a multiple of 4, or position: learned.",
            )
        if self.image_size and self.image_size % self.patch:
            yield (
                "patch",
                f"{self.patch} does not divide image_size {self.image_size}. Use one of its divisors.",
            )


@dataclass
class Resnet:
    """A residual network of basic blocks for small images, trained from scratch."""

    image_size: int | None = setting(None, "height and width in pixels; null: the data's own", ge=1)
    widths: list[int] = setting([64, 128, 256, 512], "channels of each stage; all but the first halve the image")
    depths: list[int] = setting([2, 2, 2, 2], "residual blocks of each stage")
    dropout: float = setting(0.0, "share of features dropped before the head in training", ge=0, lt=1)

    def problems(self) -> Problems:
        """Stages whose widths and depths do not pair up."""
        if len(self.widths) != len(self.depths) or not self.widths:
            yield (
                "depths",
                f"{len(self.depths)} depths for {len(self.widths)} widths. Give one of each per stage.",
            )
        for field in ("widths", "depths"):
            if any(size < 1 for size in getattr(self, field)):
                yield field, f"{getattr(self, field)} holds a number below 1. Each must be at least 1."


@dataclass
class Mlp:
    """A multilayer perceptron on the pixels: the smallest honest baseline."""

    image_size: int | None = setting(None, "height and width in pixels; null: the data's own", ge=1)
    widths: list[int] = setting([512, 256], "units of each hidden layer; empty: a linear classifier")
    dropout: float = setting(0.0, "share of activations dropped in training", ge=0, lt=1)

    def problems(self) -> Problems:
        """Layers without units."""
        if any(size < 1 for size in self.widths):
            yield "widths", f"{self.widths} holds a number below 1. Each layer needs at least one unit."


@dataclass
class Mnist5k:
    """Five thousand handwritten digits; a fixed tenth to validate and a fixed fifth to test."""

    root: str | None = setting(None, "a folder that holds mnist_5k.csv.gz; null: fetch it")
    augment: bool = setting(True, "turn, resize, slant and move the training digits at random")


@dataclass
class FashionMnist:
    """Seventy thousand pictures of clothes; the official test split, a fixed part of the rest to validate."""

    root: str | None = setting(None, "a folder that holds the four .gz files; null: fetch them")
    augment: bool = setting(True, "move, mirror and partly erase the training pictures at random")


@dataclass
class Digits:
    """scikit-learn's 1 797 digits of 8×8 pixels, for tests and first tries."""

    root: str | None = setting(None, "a folder that holds digits.csv.gz; null: that of the installed scikit-learn")


@dataclass
class Folder:
    """Your own images, in a folder for each class or listed in a table."""

    root: str | None = setting(None, "a folder of class folders, or of train, val and test folders of these")
    table: str | None = setting(None, "instead: a CSV, TSV or Parquet file of paths (relative to root) and labels")
    path_column: str = setting("path", "the table's column of image paths")
    label_column: str = setting("label", "the table's column of classes")
    split_column: str | None = setting(None, "its column of train, val and test; null: `split` where there is one")
    delimiter: str | None = setting(None, "what stands between the cells of a CSV or TSV file; null: what is found")
    encoding: str | None = setting(
        None, "what a CSV, TSV or JSON lines file is in, as windows-1250; null: what is certain"
    )
    val_share: float = setting(0.1, "share held out to validate when there is no val split", ge=0, lt=1)
    test_share: float = setting(0.2, "share held out to test when there is no test split", ge=0, lt=1)
    channels: int = setting(3, "3: read the images as RGB; 1: as grey")
    augment: bool = setting(True, "cut a random part out of each training image and stretch it over the whole")
    min_crop: float = setting(0.35, "the smallest such part, as a share of the area", gt=0, le=1)
    crop_from: Literal["resized", "original"] = setting(
        "resized", "resized: of the image as the network takes it, on the device; original: of the image in its file"
    )
    stored_size: int | None = setting(
        None,
        "of originals, the shorter side in pixels with which they are kept, if it is longer; null: as they are",
        ge=1,
    )
    flip: bool = setting(True, "mirror half of the training images; not for text, digits or hands")
    background: str = setting(BACKGROUND, "what shows through where an image is transparent: a colour or #rrggbb")
    max_pixels: int = setting(
        MAX_PIXELS, "an image of more pixels by its header is refused before it is decoded", ge=1, le=MOST_PIXELS
    )

    def problems(self) -> Problems:
        """Neither a folder nor a table, ones that do not exist, shares that leave nothing to train on."""
        if not self.root and not self.table:
            yield (
                "root",
                "neither it nor table is set. Name the folder of your images: data.root=FOLDER.",
            )
        if self.root and not Path(self.root).expanduser().is_dir():
            yield (
                "root",
                f"{self.root} is not a folder: looked for {Path(self.root).expanduser().absolute()}. "
                "A folder of images was expected. Correct the path.",
            )
        if self.table and not Path(self.table).expanduser().is_file():
            yield (
                "table",
                f"{self.table} is not a file: looked for {Path(self.table).expanduser().absolute()}. "
                "A CSV, TSV or Parquet file was expected. Correct the path.",
            )
        if self.table and not self.table.lower().endswith(TABLE_SUFFIXES):
            yield "table", f"{self.table} does not end in {', '.join(TABLE_SUFFIXES)}. Convert or rename the file."
        yield from table_problems(self.delimiter, self.encoding)
        if self.val_share + self.test_share >= 1:
            yield "val_share", "it and test_share leave nothing to train on. Their sum must be below 1."
        if self.channels not in (1, 3):
            yield "channels", f"{self.channels} is neither 1 (grey) nor 3 (RGB)."
        if self.crop_from == "original" and not self.augment:
            yield "crop_from", "original would cut nothing, since augment is false. Set augment: true, or leave it out."
        if self.stored_size and self.crop_from != "original":
            yield (
                "stored_size",
                f"{self.stored_size} would not be used, since crop_from is {self.crop_from}. Set crop_from: original, "
                "or leave it out.",
            )
        if not _is_colour(self.background):
            yield "background", f"{self.background!r} is no colour. One such as white, grey or #ff8000 was expected."


@dataclass
class TorchvisionData:
    """A data set that torchvision can download."""

    dataset: Literal["CIFAR10", "CIFAR100", "KMNIST", "MNIST", "STL10", "SVHN", "USPS"] = setting(
        doc="torchvision's own name of the data set"
    )
    root: str | None = setting(None, "torchvision's folder for its data sets; null: download")
    val_share: float = setting(0.1, "share of the training images held out to validate", ge=0, lt=1)
    augment: bool = setting(True, "move the training images and mirror them where a mirror image makes sense")


@dataclass
class Timm:
    """Any model of the timm library, with or without its pretrained weights."""

    architecture: str = setting(doc="timm's own name, such as vit_base_patch16_224 or resnet50.a1_in1k")
    pretrained: bool = setting(True, "begin with pretrained weights")
    weights: str | None = setting(None, "a .safetensors, .pt or .pth file of these; null: the model hub")
    image_size: int | None = setting(None, "height and width in pixels; null: that of the pretrained model", ge=1)
    dropout: float = setting(0.0, "share of features dropped before the head in training", ge=0, lt=1)
    drop_path: float = setting(0.0, "share of images that skip a block in training, where the model can", ge=0, lt=1)

    def problems(self) -> Problems:
        """Weights that do not exist, are of an unknown kind or would not be used."""
        if self.weights and not self.pretrained:
            yield "weights", f"{self.weights} would not be used, since pretrained is false. Set one of them."
        if self.weights and not Path(self.weights).expanduser().is_file():
            yield (
                "weights",
                f"{self.weights} is not a file: looked for {Path(self.weights).expanduser().absolute()}. "
                "A file of weights was expected. Correct the path.",
            )
        if self.weights and Path(self.weights).suffix.lower() not in WEIGHTS:
            yield (
                "weights",
                f"{self.weights} does not end in {', '.join(WEIGHTS)}. Convert or rename the file.",
            )


def _is_colour(name: str) -> bool:
    from PIL import ImageColor

    try:
        return len(ImageColor.getrgb(name)) == 3
    except ValueError:
        return False
