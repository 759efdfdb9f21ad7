"""What SASRec and BERT4Rec are made of: vectors of items, and blocks of attention that know how far back things are."""

from __future__ import annotations

import math
from typing import Literal, Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class Shape(Protocol):
    """The settings that both models have."""

    width: int
    depth: int
    heads: int
    mlp_ratio: float
    dropout: float
    position: Literal["relative", "learned"]


class Transformer(nn.Module):
    """Vectors of items, blocks that normalise first, and a norm at the end.

    A place knows where it is by a learned vector, or by what each head of attention adds for the distance of two
    places. `causal`: a place sees those before it and itself; windows begin at the first place, so there is no free one
    among them. Else it sees those that are `visible`.
    """

    def __init__(self, config: Shape, items: int, places: int, *, causal: bool) -> None:
        super().__init__()
        width, relative = config.width, config.position == "relative"
        self.causal = causal
        self.item = nn.Parameter(torch.randn(items, width) * width**-0.5)
        self.place = None if relative else nn.Parameter(torch.randn(places, width) * 0.02)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            Block(config, Distance(config.heads, places, causal) if relative else None) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        """Vectors (batch, places, width) in and out; `visible` (batch, places) says which places may be seen."""
        x = self.dropout(x if self.place is None else x + self.place)
        for block in self.blocks:
            x = block(x, visible)
        normed: Tensor = self.norm(x)
        return normed


class Block(nn.Module):
    """Attention, then a perceptron on each place; both normalise first and add to what came in."""

    def __init__(self, config: Shape, distance: Distance | None) -> None:
        super().__init__()
        width, hidden = config.width, round(config.width * config.mlp_ratio)
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, config.heads, config.dropout, distance)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width), nn.Dropout(config.dropout)
        )

    def forward(self, x: Tensor, visible: Tensor | None) -> Tensor:
        """Vectors (batch, places, width) in and out."""
        seen: Tensor = x + self.attention(self.norm1(x), visible)
        thought: Tensor = seen + self.mlp(self.norm2(seen))
        return thought


class Attention(nn.Module):
    """Every place looks at those that are visible (batch, places); where nothing says which, at those up to itself."""

    def __init__(self, width: int, heads: int, dropout: float, distance: Distance | None) -> None:
        super().__init__()
        self.heads = heads
        self.distance = distance
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, visible: Tensor | None) -> Tensor:
        """Vectors (batch, places, width) in and out."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # (batch, places, 3, heads, width / heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (batch, heads, places, width / heads)
        bias = None if self.distance is None else self.distance()
        if visible is not None:
            hidden = torch.zeros_like(visible, dtype=query.dtype).masked_fill(~visible, -torch.inf)[:, None, None]
            bias = hidden if bias is None else bias + hidden
        mixed = attend(query, key, value, bias).transpose(1, 2).flatten(2)
        answer: Tensor = self.dropout(self.out(mixed))
        return answer


class Distance(nn.Module):
    """What each head adds to the attention of one place to another, by how far it is back, or ahead of it.

    It is learned, as in T5 (Raffel et al., 2020), and begins as in ALiBi (Press et al., 2022): the less, the farther,
    by steps of a half in the first head and of an eighth of that in each next one.
    """

    offset: Tensor
    future: Tensor

    def __init__(self, heads: int, places: int, causal: bool) -> None:
        super().__init__()
        back = torch.arange(places)[:, None] - torch.arange(places)  # (places, places)
        self.register_buffer("offset", back + places - 1, persistent=False)
        self.register_buffer("future", (back < 0) & causal, persistent=False)
        far = torch.arange(1 - places, places).abs()[:, None]
        self.weight = nn.Parameter(-far * 0.5 * 8.0 ** -torch.arange(heads))  # (2 places - 1, heads)

    def forward(self) -> Tensor:
        """(heads, places, places)"""
        return F.embedding(self.offset, self.weight).permute(2, 0, 1).masked_fill(self.future, -torch.inf)


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    """Scaled dot-product attention; all are (batch, heads, places, width / heads).

    `bias`, (batch or 1, heads or 1, places or 1, places) or less, is added to the scores; without one it is causal.
    """
    if query.device.type == "cpu" and query.dtype == torch.bfloat16:
        # The backward pass of PyTorch's fused kernel is several times slower here.
        if bias is None:
            bias = query.new_full((query.shape[2], query.shape[2]), -torch.inf).triu(1)
        weights = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1]) + bias.to(query.dtype)
        return weights.softmax(dim=-1).to(value.dtype) @ value
    bias = None if bias is None else bias.to(query.dtype)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias, is_causal=bias is None)
