"""The metrics of recsys.next_item: scores of a user's ranking, and what lists of recommendations are like beside them.

Shapes: `places` of targets, 1 the best, are int64 (users, most), and `valid`, bool (users, most), says which of them
there are; a score is float32 (users,). `counts` say how often each item is in lists, int64 (items,).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import torch
from torch import Tensor
from torchmetrics import Metric

from taskkit_recsys.arrays import NONE

Score = Callable[[Tensor, Tensor], Tensor]
"""A score for each user of the places of the targets and which of them there are."""


def hit_rate(places: Tensor, valid: Tensor, k: int) -> Tensor:
    """1 when any target is among the first k, else 0: (users,)."""
    return ((places <= k) & valid).any(1).float()


def recall(places: Tensor, valid: Tensor, k: int) -> Tensor:
    """The share of the targets that are among the first k: (users,)."""
    return ((places <= k) & valid).sum(1) / valid.sum(1)


def ndcg(places: Tensor, valid: Tensor, k: int) -> Tensor:
    """The discounted gain of the targets among the first k, as a share of the best that there could be: (users,).

    A target at place r gains 1 / log2(r + 1) (Järvelin and Kekäläinen, 2002).
    """
    gains = (places + 1.0).log2().reciprocal()
    ideal = 1 / (torch.arange(1, k + 1, device=places.device) + 1.0).log2()
    most = ideal.cumsum(0)[valid.sum(1).clamp(max=k) - 1]
    return (gains * ((places <= k) & valid)).sum(1) / most


def reciprocal_rank(places: Tensor, valid: Tensor) -> Tensor:
    """One over the place of the best target: (users,)."""
    return (valid / places).amax(1)


def accuracy(cutoffs: Iterable[int]) -> Mapping[str, Score]:
    """The scores of a user's ranking, by name."""
    at: Mapping[str, Callable[..., Tensor]] = {"ndcg": ndcg, "hr": hit_rate, "recall": recall}
    scores = {f"{name}@{k}": partial(score, k=k) for name, score in at.items() for k in sorted(set(cutoffs))}
    return {**scores, "mrr": reciprocal_rank}


class ItemCounts(Metric):
    """How often each of `items` items is in the lists of all users; `measure` makes one number of these counts."""

    full_state_update = False
    counts: Tensor

    def __init__(self, items: int, measure: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.measure = measure
        self.add_state("counts", torch.zeros(items, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, items: Tensor) -> None:
        """Count the items of a batch's lists, whole numbers (users, places), NONE where there is none."""
        flat = items.flatten().long()
        self.counts += torch.zeros_like(self.counts).scatter_add(0, flat.clamp(min=0), (flat != NONE).long())

    def compute(self) -> Tensor:
        """The number."""
        return self.measure(self.counts)


def coverage(counts: Tensor) -> Tensor:
    """The share of all items that are in any list, from how often each is: int64 (items,)."""
    return (counts > 0).float().mean()


def gini(counts: Tensor) -> Tensor:
    """How unequally items (items,) are recommended: 0 when all as often, near 1 when always the same few."""
    ordered = counts.sort().values.float()
    weights = 2 * torch.arange(1, len(counts) + 1, device=counts.device) - len(counts) - 1
    return (weights * ordered).sum() / (len(counts) * ordered.sum()).clamp(min=1)


def popularity(counts: Tensor, takers: Tensor) -> Tensor:
    """How many users took the mean item of the lists in training; `takers` (items,) counts them for each item."""
    return (counts * takers.to(counts.device)).sum() / counts.sum()
