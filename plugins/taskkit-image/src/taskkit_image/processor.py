"""The way into every image network: one size, one number of channels, still bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import center_crop, resize

from taskkit import DataError, DataSpec, Example, Processor, Sample, Unit
from taskkit_image import sections
from taskkit_image.decode import pixels
from taskkit_image.facts import BACKGROUND, MAX_PIXELS, Images
from taskkit_image.reading import read_images

Interpolation = Literal["nearest", "bilinear", "bicubic"]


@dataclass
class ImageProcessor(Processor):
    """Bring images to one size and number of channels; normalising is the network's own first layer.

    An image is resized, its shape kept, until its middle `crop` (a share of the shorter side) fills
    `height` and `width`. A file of more than `max_pixels` is refused, and one so long and thin that it would have more
    once it is resized; `background` shows through where one is transparent.
    """

    channels: int
    height: int
    width: int
    crop: float = 1.0
    interpolation: Interpolation = "bilinear"
    max_pixels: int = MAX_PIXELS
    background: str = BACKGROUND

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
        return cls(images.channels, height, width, max_pixels=images.max_pixels, background=images.background)

    def read(self, source: str, options: sections.ReadImages) -> Sequence[Example]:
        """The examples of an image file, of a folder of them, or of a table that lists them."""
        return read_images(source, options)

    def encode(self, example: Example) -> Sequence[Sample]:
        """`image`: uint8 (channels, height, width), and `target`: the number of the class, int64."""
        image = pixels(example.input, self.channels, max_pixels=self.max_pixels, background=self.background)
        sample = {"image": self._fit(image).contiguous()}
        if example.target is not None:
            sample["target"] = torch.tensor(example.target)
        return [sample]

    def settings(self) -> Mapping[str, Any]:
        """Nothing: all that decides what an image becomes is in the state."""
        return {}

    def state_dict(self) -> Mapping[str, Any]:
        """All that decides what an image becomes."""
        return dict(vars(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        vars(self).update(state)

    def _fit(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        if self.crop == 1 and (height, width) == (self.height, self.width):
            return image
        scale = max(self.height / height, self.width / width) / self.crop
        size = [max(self.height, round(height * scale)), max(self.width, round(width * scale))]
        if size[0] * size[1] > max(self.max_pixels, self.height * self.width / self.crop**2):
            raise DataError(
                f"{width:,}×{height:,} pixels would become {size[1]:,}×{size[0]:,}. At most {self.max_pixels:,} were "
                "expected, data.max_pixels: it is long and thin. Cut out what matters, or take it out of the data."
            )
        resized = resize(image, size, InterpolationMode(self.interpolation), antialias=True)
        middle: Tensor = center_crop(resized, [self.height, self.width])
        return middle
