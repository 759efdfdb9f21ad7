"""The metrics of recsys.next_item, made of places: accuracy, and what a list of recommendations is like beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from taskkit_recsys.processor import NONE
from taskkit_recsys.ranking import Ranking

Score = Callable[[Tensor, Tensor], Tensor]
"""A score for each user, float32 (users,), of the places of the targets (users, most) and whether each is there."""


def hit_rate(places: Tensor, there: Tensor, k: int) -> Tensor:
    """1 when any target is among the first k, else 0."""
    return ((places <= k) & there).any(1).float()


def recall(places: Tensor, there: Tensor, k: int) -> Tensor:
    """The share of the targets that are among the first k."""
    return ((places <= k) & there).sum(1) / there.sum(1)


def ndcg(places: Tensor, there: Tensor, k: int) -> Tensor:
    """The discounted gain of the targets among the first k, as a share of the best that there could be.

    A target at place r gains 1 / log2(r + 1) (Järvelin and Kekäläinen, 2002).
    """
    gains = (places + 1.0).log2().reciprocal()
    ideal = 1 / (torch.arange(1, k + 1, device=places.device) + 1.0).log2()
    most = ideal.cumsum(0)[there.sum(1).clamp(max=k) - 1]
    return (gains * ((places <= k) & there)).sum(1) / most


def reciprocal_rank(places: Tensor, there: Tensor) -> Tensor:
    """One over the place of the best target."""
    return (there / places).amax(1)


def accuracy(cutoffs: list[int]) -> Mapping[str, Score]:
    """The scores of a user's ranking, by name."""
    at: Mapping[str, Callable[..., Tensor]] = {"ndcg": ndcg, "hr": hit_rate, "recall": recall}
    scores = {f"{name}@{k}": partial(score, k=k) for name, score in at.items() for k in sorted(set(cutoffs))}
    return {**scores, "mrr": reciprocal_rank}


class PerUser(Metric):
    """The mean over all users of a score of their ranking."""

    full_state_update = False
    total: Tensor
    users: Tensor

    def __init__(self, score: Score, places: str) -> None:
        super().__init__()
        self.score = score
        self.places = places
        """Which places of a Ranking are meant."""
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("users", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, preds: Ranking, target: Tensor) -> None:
        """Add a batch: its Ranking, and the targets (users, most)."""
        scores = self.score(getattr(preds, self.places), target != NONE)
        self.total += scores.sum()
        self.users += len(scores)

    def compute(self) -> Tensor:
        """The mean."""
        return self.total / self.users


class Recommended(Metric):
    """How often each item is among the first k of those recommended; `measure` makes one number of it."""

    full_state_update = False
    times: Tensor

    def __init__(self, k: int, items: int, measure: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.k = k
        self.measure = measure
        self.add_state("times", torch.zeros(items, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, preds: Ranking, target: Any) -> None:
        """Count the items of a batch's lists."""
        found = preds.top[:, : self.k].flatten()
        self.times += torch.zeros_like(self.times).scatter_add(0, found.clamp(min=0), (found != NONE).long())

    def compute(self) -> Tensor:
        """The number."""
        return self.measure(self.times)


class Wanted(Recommended):
    """The same for the targets instead of what is recommended."""

    def update(self, preds: Ranking, target: Tensor) -> None:
        """Count the targets of a batch."""
        super().update(preds._replace(top=target.long()), target)


def coverage(times: Tensor) -> Tensor:
    """The share of all items that anybody was recommended."""
    return (times > 0).float().mean()


def gini(times: Tensor) -> Tensor:
    """How unequally items are recommended: 0 when each as often as any other, near 1 when always the same few."""
    ordered = times.sort().values.float()
    weights = 2 * torch.arange(1, len(times) + 1, device=times.device) - len(times) - 1
    return (weights * ordered).sum() / (len(times) * ordered.sum()).clamp(min=1)


def popularity(times: Tensor, counts: Tensor) -> Tensor:
    """How many users took the mean recommended item in training."""
    return (times * counts.to(times.device)).sum() / times.sum()
