"""Random spans and distractors, drawn as tensors on the device that the batch is on."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def valid(lengths: Tensor, size: int) -> Tensor:
    """Which of `size` places of each row are within its length: bool, (batch, size)."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def seeded(seeds: Iterable[int], *shape: int) -> Tensor:
    """Random numbers from 0 to 1 of this shape for each seed: (seeds, *shape), on the CPU.

    Those of a seed do not depend on the other seeds, and a larger shape only adds to them at its end.
    """
    generator = torch.Generator()
    return torch.stack([torch.rand(shape, generator=generator.manual_seed(seed)) for seed in seeds])


def spans(lengths: Tensor, size: int, share: float, span: int, least: int = 0, chance: Tensor | None = None) -> Tensor:
    """Mask random spans of `span` places each: bool, (batch, size).

    Of each row about `share` is masked, were no span to overlap another: so many starts are drawn without replacement
    (Baevski et al., 2020, section 3.1), at least `least`. No span goes beyond the row's length. `chance` holds the
    random numbers, (batch, 1 + size); None: they are drawn.
    """
    if chance is None:
        chance = torch.rand(len(lengths), 1 + size, device=lengths.device)
    starts = (lengths - span + 1).clamp(min=0)
    wanted = share * lengths / span + chance[:, 0]
    wanted = wanted.floor().clamp(min=least).minimum(starts)
    draws = chance[:, 1:].masked_fill(~valid(starts, size), 2.0)
    chosen = draws.argsort(dim=1).argsort(dim=1) < wanted[:, None]
    reach = F.pad(chosen.float()[:, None], (span - 1, 0))
    return F.max_pool1d(reach, span, stride=1)[:, 0] > 0


def distractors(masked: Tensor, count: int, chance: Tensor | None = None) -> Tensor:
    """For each place `count` other masked places of its row, drawn with replacement: int64, (batch, size, count).

    What stands at places that are not masked, or in rows of one masked place, is not to be used. `chance` holds the
    random numbers, of the shape of the answer; None: they are drawn.
    """
    if chance is None:
        chance = torch.rand(*masked.shape, count, device=masked.device)
    total = masked.sum(dim=1)[:, None, None]
    own = (masked.cumsum(dim=1) - 1)[:, :, None]
    # One less than there are, then a step over its own: never itself, all others alike.
    ranks = (chance * (total - 1)).long()
    ranks = (ranks + (ranks >= own)).clamp(min=0).minimum((total - 1).clamp(min=0))
    places = masked.long().argsort(dim=1, descending=True, stable=True)
    return places.gather(1, ranks.flatten(1)).view_as(ranks)
