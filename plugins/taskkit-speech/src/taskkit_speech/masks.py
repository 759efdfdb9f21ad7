"""Random spans and distractors, drawn as tensors on the device that the batch is on."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def valid(lengths: Tensor, size: int) -> Tensor:
    """Which of `size` places of each row are within its length: bool, (batch, size)."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def spans(lengths: Tensor, size: int, share: float, span: int, least: int = 0) -> Tensor:
    """Mask random spans of `span` places each: bool, (batch, size).

    Of each row about `share` is masked, were no span to overlap another: so many starts are drawn without replacement
    (Baevski et al., 2020, section 3.1), at least `least`. No span goes beyond the row's length.
    """
    starts = (lengths - span + 1).clamp(min=0)
    wanted = share * lengths / span + torch.rand(lengths.shape, device=lengths.device)
    wanted = wanted.floor().clamp(min=least).minimum(starts)
    draws = torch.rand(len(lengths), size, device=lengths.device).masked_fill(~valid(starts, size), 2.0)
    chosen = draws.argsort(dim=1).argsort(dim=1) < wanted[:, None]
    reach = F.pad(chosen.float()[:, None], (span - 1, 0))
    return F.max_pool1d(reach, span, stride=1)[:, 0] > 0


def distractors(masked: Tensor, count: int) -> Tensor:
    """For each place `count` other masked places of its row, drawn with replacement: int64, (batch, size, count).

    What stands at places that are not masked, or in rows of one masked place, is not to be used.
    """
    total = masked.sum(dim=1)[:, None, None]
    own = (masked.cumsum(dim=1) - 1)[:, :, None]
    draws = torch.rand(*masked.shape, count, device=masked.device)
    # One less than there are, then a step over its own: never itself, all others alike.
    ranks = (draws * (total - 1)).long()
    ranks = (ranks + (ranks >= own)).clamp(min=0).minimum((total - 1).clamp(min=0))
    places = masked.long().argsort(dim=1, descending=True, stable=True)
    return places.gather(1, ranks.flatten(1)).view_as(ranks)
