"""The way into every image network: one size, one number of channels, still bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import RandomResizedCrop

from taskkit import DataError, DataSpec, Example, Processor, Sample, Unit
from taskkit_image import sections
from taskkit_image.arrays import Box, ImageShape, part, read_part
from taskkit_image.decode import array, tensor
from taskkit_image.facts import Images
from taskkit_image.opening import content
from taskkit_image.reading import read_images

RATIO = [3 / 4, 4 / 3]
"""How wide a part may be for its height, as in torchvision and timm."""


@dataclass
class ImageProcessor(ImageShape, Processor):
    """Bring images to one size and number of channels; normalising is the network's own first layer."""

    unit = Unit("images")
    predict_options = sections.ReadImages

    @classmethod
    def for_data(cls, spec: DataSpec, image_size: int | None, model: str) -> ImageProcessor:
        """A processor for squares of `image_size`, or, when that is None, for the size that the data state.

        Raises DataError, which names the `model`, when the images have no common size.
        """
        images = spec.input
        assert isinstance(images, Images)
        height, width = image_size or images.height, image_size or images.width
        if height is None or width is None:
            raise DataError(
                f"{model}: these images differ in size, and model.image_size is null. A network needs one "
                "size. Set model.image_size, for instance to 64."
            )
        return cls.of_images(images, ImageShape(images.channels, height, width))

    @classmethod
    def of_images(cls, images: Images, shape: ImageShape) -> ImageProcessor:
        """A processor of images that are read as the data state, and cut out of in training where these say so.

        Raises DataError for a `stored_size` that is smaller than the network's, and for crops of another class's.
        """
        shape = replace(shape, max_pixels=images.max_pixels, background=images.background)
        if images.min_crop is None:
            return cls(**vars(shape))
        if cls is not ImageProcessor:
            raise DataError(
                f"data.crop_from is original, which {cls.__name__} does not know: it has a way of its own into its "
                "network. Set data.crop_from=resized."
            )
        if images.stored_size is not None and images.stored_size < max(shape.height, shape.width):
            raise DataError(
                f"data.stored_size is {images.stored_size}, and the network takes {shape.width}×{shape.height} pixels: "
                "whatever is cut out would be enlarged. Make it larger, for instance an eighth more than the network's "
                "size, or leave it out."
            )
        return CroppingProcessor(**vars(shape), min_crop=images.min_crop, stored_size=images.stored_size)

    def read(self, source: str, options: sections.ReadImages) -> Sequence[Example]:
        """The examples of an image file, of a folder of them, or of a table that lists them."""
        return read_images(source, options)

    def encode(self, example: Example) -> Sequence[Sample]:
        """`image`: uint8 (channels, height, width), and `target`: the number of the class, int64."""
        return [_with_target({"image": tensor(self.of(array(example.input)))}, example)]

    def settings(self) -> Mapping[str, Any]:
        """Nothing: all that decides what an image becomes is in the state."""
        return {}

    def state_dict(self) -> Mapping[str, Any]:
        """All that decides what an image becomes."""
        return {field.name: getattr(self, field.name) for field in fields(ImageShape)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        vars(self).update(state)


@dataclass
class CroppingProcessor(ImageProcessor):
    """The same, with training views that are random parts of the image in its own size: `RandomResizedCrop`.

    Each has between `min_crop` and all of the area, is up to a third wider than high or higher than wide, and is
    stretched over the network's size. What is judged is resized and cut out of the middle, as by every ImageProcessor.
    """

    min_crop: float = 0.08
    stored_size: int | None = None
    """What the shorter side is made for that, if it is longer; None: the file is kept as it is, undecoded."""

    def drawable(self, example: Example) -> Sequence[Sample]:
        """`file`: uint8, a file undecoded; where that is not kept `image`: uint8 (channels, height, width)."""
        source = example.input
        if self.stored_size is None and isinstance(source, Path):
            return [_with_target({"file": tensor(np.frombuffer(content(source), np.uint8))}, example)]
        return [_with_target({"image": tensor(self.kept(array(source), self.stored_size))}, example)]

    def draw(self, sample: Sample, random: torch.Generator) -> Sample:
        """The same sample with a part of the image as `image`: uint8 (channels, height, width)."""
        choose = partial(self._box, random)
        if (file := sample.get("file")) is not None:
            image = read_part(file.numpy().tobytes(), self, choose)
        else:
            kept = sample["image"].numpy()
            image = part(kept, self, choose(*kept.shape[1:]))
        others = {name: value for name, value in sample.items() if name not in ("file", "image")}
        return {"image": tensor(image), **others}

    def settings(self) -> Mapping[str, Any]:
        """The size that images are kept in; which parts are cut out of them is decided each time anew."""
        return {"stored_size": self.stored_size}

    def _box(self, random: torch.Generator, height: int, width: int) -> Box:
        """Where the next part is, by torchvision, whose random numbers are those of torch's own generator."""
        with torch.random.fork_rng(devices=()):
            torch.default_generator.set_state(random.get_state())
            whole = torch.empty(1, height, width, device="meta")
            return Box(*RandomResizedCrop.get_params(whole, [self.min_crop, 1.0], RATIO))


def _with_target(sample: dict[str, Tensor], example: Example) -> Sample:
    if example.target is not None:
        sample["target"] = torch.tensor(example.target)
    return sample
