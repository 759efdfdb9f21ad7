"""A vision transformer for small images (Dosovitskiy et al., 2021), pre-norm, with mean pooling."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from taskkit import Classes, DataError, DataSpec, Model
from taskkit_image import sections
from taskkit_image.normalise import Normalise
from taskkit_image.processor import ImageProcessor


class Vit(Model[sections.Vit, ImageProcessor]):
    """A vision transformer, trained from scratch."""

    def processor(self, spec: DataSpec) -> ImageProcessor:
        """Images of `image_size`, or of the data's own size; raises DataError when patches do not fill them exactly."""
        processor = ImageProcessor.for_data(spec, self.config.image_size, "image.vit")
        height, width, patch = processor.height, processor.width, self.config.patch
        if height % patch or width % patch:
            raise DataError(
                f"image.vit: images of {height}×{width} pixels cannot be cut into patches of {patch}. The patch"
                f" must divide both sides. Change model.patch, or set model.image_size to {patch} times a number."
            )
        return processor

    def network(self, spec: DataSpec, processor: ImageProcessor) -> nn.Module:
        """A freshly initialised network of this section's shape."""
        assert isinstance(spec.target, Classes)
        return VisionTransformer(self.config, processor.channels, processor.height, processor.width, len(spec.target))

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        """The transformer's blocks."""
        assert isinstance(network, VisionTransformer)
        return list(network.blocks)


class VisionTransformer(nn.Module):
    """Patches, blocks of attention, the mean of all tokens, and a linear head."""

    def __init__(self, config: sections.Vit, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__()
        self.normalise = Normalise([0.5] * channels, [0.5] * channels)
        self.embed = Embedding(config, channels, height // config.patch, width // config.patch)
        last = max(config.depth - 1, 1)
        self.blocks = nn.ModuleList(Block(config, config.drop_path * number / last) for number in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, classes)
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        """Images (batch, channels, height, width) of 0 to 255 in, logits (batch, classes) out."""
        tokens = self.embed(self.normalise(image))  # (batch, tokens, width)
        for block in self.blocks:
            tokens = block(tokens)
        logits: Tensor = self.head(self.norm(tokens).mean(dim=1))
        return logits


class Embedding(nn.Module):
    """Cut an image into patches, make a token of each and add its position."""

    position: Tensor

    def __init__(self, config: sections.Vit, channels: int, rows: int, columns: int) -> None:
        super().__init__()
        self.stem, channels = _stem(config, channels)
        self.project = nn.Conv2d(channels, config.width, config.patch, stride=config.patch)
        self.dropout = nn.Dropout(config.dropout)
        if config.position == "learned":
            self.position = nn.Parameter(0.02 * torch.randn(rows * columns, config.width))
        else:
            self.register_buffer("position", sincos(rows, columns, config.width), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Images (batch, channels, height, width) in, tokens (batch, rows x columns, width) out."""
        patches = self.project(self.stem(image))  # (batch, width, rows, columns)
        tokens: Tensor = self.dropout(patches.flatten(2).transpose(1, 2) + self.position)
        return tokens


class Block(nn.Module):
    """Attention, then a perceptron on each token; both normalise first and add to what came in."""

    def __init__(self, config: sections.Vit, drop_path: float) -> None:
        super().__init__()
        width, hidden = config.width, round(config.width * config.mlp_ratio)
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, config.heads, config.dropout)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width), nn.Dropout(config.dropout)
        )
        self.drop_path = StochasticDepth(drop_path, mode="row")

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (batch, tokens, width) in and out."""
        attended: Tensor = tokens + self.drop_path(self.attention(self.norm1(tokens)))
        transformed: Tensor = attended + self.drop_path(self.mlp(self.norm2(attended)))
        return transformed


class Attention(nn.Module):
    """Every token looks at every other, with several heads."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (batch, tokens, width) in and out."""
        qkv = self.qkv(tokens).unflatten(-1, (3, self.heads, -1))  # (batch, tokens, 3, heads, width / heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (batch, heads, tokens, width / heads)
        mixed = attend(query, key, value).transpose(1, 2).flatten(2)  # (batch, tokens, width)
        projected: Tensor = self.dropout(self.out(mixed))
        return projected


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Scaled dot-product attention; all are (batch, heads, tokens, width / heads)."""
    if query.device.type == "cpu" and query.dtype == torch.bfloat16:
        # The backward pass of PyTorch's fused kernel is 7 to 9 times slower here, for 16 to 49 tokens.
        weights = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
        mixed: Tensor = weights.softmax(dim=-1).to(value.dtype) @ value
        return mixed
    return F.scaled_dot_product_attention(query, key, value)


def sincos(rows: int, columns: int, width: int) -> Tensor:
    """Fixed positions (rows x columns, width): sines and cosines of the row, then of the column.

    As in MAE (He et al., 2022); `width` is a multiple of four.
    """
    rates = 10000 ** -(torch.arange(width // 4) / (width // 4))
    row = torch.arange(rows).repeat_interleave(columns)[:, None] * rates
    column = torch.arange(columns).repeat(rows)[:, None] * rates
    return torch.cat([row.sin(), row.cos(), column.sin(), column.cos()], dim=1)


def _stem(config: sections.Vit, channels: int) -> tuple[nn.Module, int]:
    """What comes before the patches, and its channels; Xiao et al. (2021) say why convolutions help."""
    if config.stem == "patch":
        return nn.Identity(), channels
    hidden = config.stem_width
    layers: list[nn.Module] = []
    for inputs in (channels, hidden):
        layers += [nn.Conv2d(inputs, hidden, 3, padding=1, bias=False), nn.BatchNorm2d(hidden), nn.GELU()]
    return nn.Sequential(*layers), hidden


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
