"""A multilayer perceptron on the pixels: the smallest honest baseline."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from taskkit import Classes, DataSpec, Model
from taskkit_image import sections
from taskkit_image.normalise import Normalise
from taskkit_image.processor import ImageProcessor


class Mlp(Model[sections.Mlp, ImageProcessor]):
    """Fully connected layers on the pixels; it does not know that they are neighbours."""

    def processor(self, spec: DataSpec) -> ImageProcessor:
        """Images of `image_size`, or of the data's own size."""
        return ImageProcessor.for_data(spec, self.config.image_size, "image.mlp")

    def network(self, spec: DataSpec, processor: ImageProcessor) -> nn.Module:
        """A freshly initialised perceptron."""
        assert isinstance(spec.target, Classes)
        return Perceptron(self.config, processor.channels, processor.height, processor.width, len(spec.target))

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        """The hidden layers."""
        assert isinstance(network, Perceptron)
        return list(network.hidden)


class Perceptron(nn.Module):
    """Hidden layers with batch normalisation, and a linear head."""

    def __init__(self, config: sections.Mlp, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__()
        self.normalise = Normalise([0.5] * channels, [0.5] * channels)
        sizes = [channels * height * width, *config.widths]
        self.hidden = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Linear(inputs, outputs, bias=False),
                    nn.BatchNorm1d(outputs),
                    nn.GELU(),
                    nn.Dropout(config.dropout),
                )
                for inputs, outputs in pairwise(sizes)
            )
        )
        self.head = nn.Linear(sizes[-1], classes)

    def forward(self, image: Tensor) -> Tensor:
        """Images (batch, channels, height, width) of 0 to 255 in, logits (batch, classes) out."""
        logits: Tensor = self.head(self.hidden(self.normalise(image).flatten(1)))
        return logits
