"""Matrix factorisation (Koren et al., 2009): a vector for each user and each item."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from taskkit import DataSpec, Model
from taskkit_recsys import sections
from taskkit_recsys.answer import Vectors
from taskkit_recsys.arrays import NONE
from taskkit_recsys.facts import Rating
from taskkit_recsys.processor import HistoryProcessor, PairProcessor
from taskkit_recsys.windows import embedded


class Mf(Model[sections.Mf, HistoryProcessor | PairProcessor]):
    """Matrix factorisation, of histories or of ratings."""

    def processor(self, spec: DataSpec) -> HistoryProcessor | PairProcessor:
        """Pairs where the data state ratings, else windows of `length` items."""
        return PairProcessor(spec) if isinstance(spec.target, Rating) else HistoryProcessor(spec, self.config.length)

    def network(self, spec: DataSpec, processor: HistoryProcessor | PairProcessor) -> nn.Module:
        """A freshly initialised network for the users and items of the data."""
        users, items = len(processor.histories.users), len(processor.histories.items)
        if isinstance(processor, PairProcessor):
            return Ratings(self.config, users, items, processor.mean)
        return Factors(self.config, users, items)


class Factors(nn.Module):
    """A vector for each user and each item, and how popular an item is beyond that."""

    def __init__(self, config: sections.Mf, users: int, items: int) -> None:
        super().__init__()
        self.user = nn.Parameter(torch.randn(users, config.width) * config.width**-0.5)
        self.item = nn.Parameter(torch.randn(items, config.width) * config.width**-0.5)
        self.bias = nn.Parameter(torch.zeros(items))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, history: Tensor, user: Tensor) -> Vectors:
        """Users (batch,) in, with a window of each (batch, length + 1), whose items their vectors are to find."""
        query = self.dropout(vectors(user, history, self.user, self.item))
        return Vectors(query, self.item, self.bias, history if self.training else None)


class Ratings(nn.Module):
    """The mean rating, what is special about a user and about an item, and how they go together.

    A user or an item that training did not know has nothing special.
    """

    mean: Tensor

    def __init__(self, config: sections.Mf, users: int, items: int, mean: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.user = nn.Parameter(torch.randn(users, config.width) * 0.1 * config.width**-0.5)
        self.item = nn.Parameter(torch.randn(items, config.width) * 0.1 * config.width**-0.5)
        self.user_bias = nn.Parameter(torch.zeros(users))
        self.item_bias = nn.Parameter(torch.zeros(items))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """Users and items in, ratings out, all (batch,)."""
        known_user, known_item = user != NONE, item != NONE
        user, item = user.clamp(min=0).long(), item.clamp(min=0).long()
        liked = (self.dropout(F.embedding(user, self.user)) * F.embedding(item, self.item)).sum(-1)
        special = self.user_bias[user] * known_user + self.item_bias[item] * known_item
        ratings: Tensor = self.mean + special + liked * (known_user & known_item)
        return ratings


def vectors(user: Tensor, history: Tensor, users: Tensor, items: Tensor) -> Tensor:
    """The vector of each user (batch, width), from the table `users`.

    One that training did not know stands where the items of the history are, on average.
    """
    count = (history != NONE).sum(1, keepdim=True).clamp(min=1)
    mean = embedded(history, items).sum(1) / count
    return torch.where((user != NONE)[:, None], F.embedding(user.clamp(min=0), users), mean)
