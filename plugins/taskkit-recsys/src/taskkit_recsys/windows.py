"""What networks do with windows of histories, in which NONE stands after the last item."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from taskkit_recsys.arrays import NONE


def embedded(window: Tensor, item: Tensor) -> Tensor:
    """The vectors of items, from their table (items, width); of a free place zeros: (batch, places, width)."""
    return F.embedding(window.clamp(min=0), item) * (window != NONE)[..., None]


def last(window: Tensor) -> Tensor:
    """The place of the last item of each window (batch, places): (batch,); 0 when it has none."""
    return ((window != NONE).sum(1) - 1).clamp(min=0)


def pick(x: Tensor, places: Tensor) -> Tensor:
    """The vectors (batch, width) that stand at one place (batch,) of each row of `x` (batch, places, width)."""
    return x.gather(1, places[:, None, None].expand(-1, 1, x.shape[2])).squeeze(1)
