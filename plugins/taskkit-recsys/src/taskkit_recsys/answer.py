"""What the networks of recsys.next_item answer."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Vectors(NamedTuple):
    """A vector for each query and each item: the score of an item is their product, plus its bias."""

    query: Tensor
    """(queries, width): in training any number of them, else one for each history of the batch."""
    item: Tensor
    """(items, width)"""
    bias: Tensor | None = None
    """(items,)"""
    target: Tensor | None = None
    """In training (queries, most): the numbers of the items that each query is to find, NONE elsewhere."""

    @property
    def shape(self) -> tuple[int, int]:
        """How many queries and items there are."""
        return len(self.query), len(self.item)

    def scores(self, start: int, end: int) -> Tensor:
        """The scores of all items for the queries from `start` on and before `end`: float32 (queries, items).

        Half precision would make many of them equal.
        """
        with torch.autocast(self.query.device.type, enabled=False):
            scores = self.query[start:end].float() @ self.item.float().T
        return scores if self.bias is None else scores + self.bias.float()


class Scores(NamedTuple):
    """The scores themselves, of a model that learns nothing: (histories, items)."""

    values: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """How many histories and items there are."""
        return len(self.values), self.values.shape[1]

    def scores(self, start: int, end: int) -> Tensor:
        """The scores of all items for the histories from `start` on and before `end`: float32 (histories, items)."""
        return self.values[start:end].float()


Answer = Vectors | Scores
