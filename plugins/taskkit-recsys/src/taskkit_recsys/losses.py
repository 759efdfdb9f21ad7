"""The losses of recsys.next_item: over all items, or with negatives drawn on the device, never beyond a budget."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from taskkit_recsys import sections
from taskkit_recsys.answer import Vectors

RowsLoss = Callable[[Tensor, Tensor], Tensor]
"""The sum of the losses, a scalar, of some queries (rows, width) and their targets (rows, most)."""


class Objective(nn.Module):
    """The mean loss over all targets of a batch, as a task's section says.

    `counts` (items,): how often each item was taken in training.
    """

    share: Tensor
    cumulative: Tensor

    def __init__(self, config: sections.NextItem, counts: Tensor) -> None:
        super().__init__()
        self.config = config
        weights = counts.double().clamp(min=1) ** config.popular_negatives
        self.register_buffer("share", (weights / weights.sum()).float(), persistent=False)
        self.register_buffer("cumulative", weights.cumsum(0) / weights.sum(), persistent=False)

    def forward(self, answer: Vectors) -> tuple[Tensor, Tensor]:
        """The mean over the targets of all queries, and how many these are, 1 at least; both are scalars.

        A query without a target counts for nothing.
        """
        assert answer.target is not None
        (items, width), most, negatives = answer.item.shape, answer.target.shape[1], self.config.negatives
        rows_loss, row = {
            "softmax": (self._softmax(answer), items),
            "sampled": (self._sampled(answer), negatives * most),
            # Each query has its own negatives, whose vectors are what is large.
            "gbce": (self._binary(answer, self.beta(items)), negatives * max(width, most)),
            "bce": (self._binary(answer, 1.0), negatives * max(width, most)),
        }[self.config.loss]
        total = in_parts(rows_loss, answer.query, answer.target, self.config.logits_budget // row)
        count = (answer.target >= 0).sum().clamp(min=1)
        return total / count, count

    @property
    def chance(self) -> float:
        """The loss of scores that are all 0.

        Negatives are corrected by how often they are drawn, so that together they weigh as much as all items.
        """
        items, negatives = len(self.share), self.config.negatives
        if self.config.loss in ("softmax", "sampled"):
            return math.log(items)
        beta = self.beta(items) if self.config.loss == "gbce" else 1.0
        return math.log(2) * (beta + negatives) / (negatives + 1)

    def beta(self, items: int) -> float:
        """The power of a target's probability in gBCE (Petrov and Macdonald, 2023).

        It is theirs, t (alpha - 1) + 1, where alpha is the share of all other items that are drawn.
        """
        alpha = self.config.negatives / max(items - 1, 1)
        return 1 - self.config.gbce_t * (1 - alpha)

    def _softmax(self, answer: Vectors) -> RowsLoss:
        """Cross-entropy over all items."""

        def loss(query: Tensor, target: Tensor) -> Tensor:
            logits = F.linear(query, answer.item, answer.bias)
            return ((logits.float().logsumexp(1)[:, None] - _score(answer, query, target)) * (target >= 0)).sum()

        return loss

    def _sampled(self, answer: Vectors) -> RowsLoss:
        """Cross-entropy over the target and negatives that the whole batch shares.

        A negative's score is corrected by the logarithm of how often it is drawn, so that with many of them the
        loss is that over all items (Bengio and Senécal, 2008). A negative that is the target is left out.
        """
        count, device = self.config.negatives, answer.query.device
        # In double precision, since shares of a large catalogue are finer than what float32 can draw.
        chance = torch.rand(count, dtype=torch.float64, device=device)
        drawn = torch.searchsorted(self.cumulative, chance).clamp(max=len(answer.item) - 1)
        bias = -(count * self.share[drawn]).log()
        if answer.bias is not None:
            bias = bias + answer.bias[drawn]

        def loss(query: Tensor, target: Tensor) -> Tensor:
            logits = F.linear(query, F.embedding(drawn, answer.item)).float() + bias  # (rows, negatives)
            others = logits[:, None].masked_fill(drawn == target[..., None], -torch.inf).logsumexp(2)  # (rows, most)
            positive = _score(answer, query, target)
            return ((torch.logaddexp(positive, others) - positive) * (target >= 0)).sum()

        return loss

    def _binary(self, answer: Vectors, beta: float) -> RowsLoss:
        """Cross-entropy of each target against yes and of negatives, drawn for each query, against no.

        The probability of a target is taken to the power `beta`; 1 is the loss of SASRec's paper. A negative that is a
        target is left out.
        """
        count, items = self.config.negatives, len(answer.item)

        def loss(query: Tensor, target: Tensor) -> Tensor:
            drawn = torch.randint(items, (len(query), count), device=query.device)
            scores = (F.embedding(drawn, answer.item) @ query[:, :, None]).squeeze(2).float()  # (rows, negatives)
            if answer.bias is not None:
                scores = scores + answer.bias[drawn]
            wrong = (drawn[:, None] != target[..., None]).all(1)
            others = (F.softplus(scores) * wrong).sum(1, keepdim=True)
            positive = -beta * F.logsigmoid(_score(answer, query, target))
            return ((positive + others) * (target >= 0)).sum() / (count + 1)

        return loss


def in_parts(loss: RowsLoss, query: Tensor, target: Tensor, rows: int) -> Tensor:
    """The loss of all queries (queries, width) and targets (queries, most), `rows` of them at a time: a scalar.

    What a part holds is computed again for its gradients.
    """
    rows = max(rows, 1)
    if len(query) <= rows:
        return loss(query, target)
    parts = zip(torch.split(query, rows), torch.split(target, rows), strict=True)
    return torch.stack([checkpoint(loss, *part, use_reentrant=False) for part in parts]).sum()


def _score(answer: Vectors, query: Tensor, target: Tensor) -> Tensor:
    """The score of each target (rows, most), in float32; where there is none, that of some item."""
    items = target.clamp(min=0)
    scores = (query[:, None] * F.embedding(items, answer.item)).sum(2, dtype=torch.float32)
    return scores if answer.bias is None else scores + answer.bias[items]
