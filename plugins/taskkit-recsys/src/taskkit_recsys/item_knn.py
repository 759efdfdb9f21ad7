"""Item-based nearest neighbours (Sarwar et al., 2001): items that the same users took as those of a history."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from taskkit import DataSpec, Model
from taskkit_recsys import sections
from taskkit_recsys.answer import Scores
from taskkit_recsys.arrays import NONE
from taskkit_recsys.processor import HistoryProcessor

BLOCK = 1024
"""Items whose similarities to all others are held at once."""


class ItemKnn(Model[sections.ItemKnn, HistoryProcessor]):
    """Cosine similarities of items; a run of no epochs."""

    def processor(self, spec: DataSpec) -> HistoryProcessor:
        """Windows of `length` items."""
        return HistoryProcessor(spec, self.config.length)

    def network(self, spec: DataSpec, processor: HistoryProcessor) -> nn.Module:
        """The neighbours of each item, from the training split."""
        return Neighbours(self.config, interactions_of(processor))


class Neighbours(nn.Module):
    """The nearest items of each item, and how near they are, by `interactions` (users, items)."""

    item: Tensor
    similarity: Tensor

    def __init__(self, config: sections.ItemKnn, interactions: sparse.csr_matrix) -> None:
        super().__init__()
        count = min(config.neighbours, interactions.shape[1] - 1)
        item, similarity = neighbours(interactions, count, config.shrink)
        self.register_buffer("item", item, persistent=False)  # (items, neighbours)
        self.register_buffer("similarity", similarity, persistent=False)

    def forward(self, history: Tensor, user: Tensor) -> Scores:
        """Windows (batch, length + 1) in; for each item the sum of its similarities to those of the window."""
        window = history.clamp(min=0).long()
        near = self.similarity[window] * (history != NONE)[..., None]  # (batch, places, neighbours)
        scores = near.new_zeros(history.shape[0], len(self.item))
        return Scores(scores.scatter_add(1, self.item[window].flatten(1), near.flatten(1)))


def interactions_of(processor: HistoryProcessor) -> sparse.csr_matrix:
    """Who took what in training (users, items): 1 where a user took an item, whether once or more often."""
    starts, items = processor.starts.numpy(), processor.taken.numpy()
    shape = (len(starts) - 1, len(processor.histories.items))
    interactions = sparse.csr_matrix((np.ones(len(items), np.float32), items, starts), shape)
    interactions.sum_duplicates()
    interactions.data[:] = 1
    return interactions


def neighbours(interactions: sparse.csr_matrix, count: int, shrink: float) -> tuple[Tensor, Tensor]:
    """The `count` items most like each item, best first, and their similarities, both (items, count).

    The similarity is the cosine of the columns, with `shrink` added to the product of their lengths.
    """
    lengths = np.sqrt(np.asarray(interactions.sum(0)).ravel())
    items, similarities = [], []
    for start in range(0, interactions.shape[1], BLOCK):
        block = slice(start, start + BLOCK)
        together = torch.from_numpy((interactions[:, block].T @ interactions).toarray())
        similarity = together / torch.from_numpy(np.outer(lengths[block], lengths) + shrink).clamp(min=1e-9)
        similarity[torch.arange(len(similarity)), torch.arange(start, start + len(similarity))] = -1
        best = similarity.float().topk(count)
        items.append(best.indices)
        similarities.append(best.values)
    return torch.cat(items), torch.cat(similarities)
