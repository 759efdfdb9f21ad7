"""The first layer of every image network: from bytes to numbers around zero."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """Subtract a mean and divide by a deviation for each channel.

    `mean` and `std` are shares of full brightness; images of (batch, channels, height, width) hold 0 to 255,
    as uint8 or as floats, and come out as float32.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(std).view(-1, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Bytes in, numbers around zero out."""
        return (image.float() - self.mean) / self.std
