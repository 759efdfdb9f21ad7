"""A residual network for small images (He et al., 2016): a 3×3 stem, no pooling before the blocks."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from taskkit import Classes, DataSpec, Model
from taskkit_image import sections
from taskkit_image.normalise import Normalise
from taskkit_image.processor import ImageProcessor


class Resnet(Model[sections.Resnet, ImageProcessor]):
    """A residual network of basic blocks, trained from scratch."""

    def processor(self, spec: DataSpec) -> ImageProcessor:
        """Images of `image_size`, or of the data's own size."""
        return ImageProcessor.for_data(spec, self.config.image_size, "image.resnet")

    def network(self, spec: DataSpec, processor: ImageProcessor) -> nn.Module:
        """A freshly initialised network."""
        assert isinstance(spec.target, Classes)
        return ResidualNetwork(self.config, processor.channels, len(spec.target))

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        """The residual blocks."""
        assert isinstance(network, ResidualNetwork)
        return list(network.blocks)


class ResidualNetwork(nn.Module):
    """A stem, stages that halve the image and widen it, the mean over the image, and a linear head."""

    def __init__(self, config: sections.Resnet, channels: int, classes: int) -> None:
        super().__init__()
        width = config.widths[0]
        self.normalise = Normalise([0.5] * channels, [0.5] * channels)
        self.stem = _convolution(channels, width, stride=1)
        self.blocks = nn.Sequential()
        for stage, (outputs, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
            for number in range(depth):
                stride = 2 if stage > 0 and number == 0 else 1
                self.blocks.append(Block(width, outputs, stride))
                width = outputs
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(width, classes)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, image: Tensor) -> Tensor:
        """Images (batch, channels, height, width) of 0 to 255 in, logits (batch, classes) out."""
        maps = self.normalise(image).contiguous(memory_format=torch.channels_last)
        maps = self.blocks(F.relu(self.stem(maps)))  # (batch, widths[-1], height / 2^stages, width / 2^stages)
        logits: Tensor = self.head(self.dropout(maps.mean(dim=(2, 3))))
        return logits


class Block(nn.Module):
    """Two 3×3 convolutions whose result is added to what came in."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(inputs, outputs, stride)
        self.second = _convolution(outputs, outputs, stride=1)
        self.shortcut = (
            nn.Identity() if inputs == outputs and stride == 1 else _convolution(inputs, outputs, stride, kernel=1)
        )
        # A block that begins as the identity trains more steadily (Goyal et al., 2017).
        nn.init.zeros_(self.second.get_parameter("1.weight"))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (batch, inputs, height, width) in, (batch, outputs, height / stride, width / stride) out."""
        return F.relu(self.second(F.relu(self.first(maps))) + self.shortcut(maps))


def _convolution(inputs: int, outputs: int, stride: int, kernel: int = 3) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))
