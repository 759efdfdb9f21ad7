"""The way into every image network: one size, one number of channels, still bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from taskkit import DataError, DataSpec, Example, Processor, Sample, Unit
from taskkit_image import sections
from taskkit_image.arrays import ImageShape
from taskkit_image.decode import array, tensor
from taskkit_image.facts import Images
from taskkit_image.reading import read_images


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
        return cls(images.channels, height, width, max_pixels=images.max_pixels, background=images.background)

    def read(self, source: str, options: sections.ReadImages) -> Sequence[Example]:
        """The examples of an image file, of a folder of them, or of a table that lists them."""
        return read_images(source, options)

    def encode(self, example: Example) -> Sequence[Sample]:
        """`image`: uint8 (channels, height, width), and `target`: the number of the class, int64."""
        sample = {"image": tensor(self.of(array(example.input)))}
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
