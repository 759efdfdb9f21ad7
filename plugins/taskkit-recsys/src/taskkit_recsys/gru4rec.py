"""GRU4Rec (Hidasi et al., 2016): a recurrent network that predicts after each item the one that follows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from taskkit import DataSpec, Model
from taskkit_recsys import sections
from taskkit_recsys.answer import Vectors
from taskkit_recsys.processor import HistoryProcessor
from taskkit_recsys.windows import embedded, last, pick


class Gru4rec(Model[sections.Gru4rec, HistoryProcessor]):
    """Gated recurrent units over a history."""

    def processor(self, spec: DataSpec) -> HistoryProcessor:
        """Windows of `length` items."""
        return HistoryProcessor(spec, self.config.length)

    def network(self, spec: DataSpec, processor: HistoryProcessor) -> nn.Module:
        """A freshly initialised network for the items of the data."""
        return Recurrent(self.config, len(processor.histories.items))


class Recurrent(nn.Module):
    """Vectors of items, recurrent layers and a projection back to the size of an item's vector."""

    def __init__(self, config: sections.Gru4rec, items: int) -> None:
        super().__init__()
        self.item = nn.Parameter(torch.randn(items, config.width) * config.width**-0.5)
        self.bias = nn.Parameter(torch.zeros(items))
        self.dropout = nn.Dropout(config.dropout)
        between = config.dropout if config.depth > 1 else 0.0
        self.gru = nn.GRU(config.width, config.hidden, config.depth, batch_first=True, dropout=between)
        self.out = nn.Linear(config.hidden, config.width)

    def forward(self, history: Tensor, user: Tensor) -> Vectors:
        """Windows (batch, length + 1) in; queries after all items in training, else after the last."""
        window, following = history[:, :-1], history[:, 1:]
        x, _ = self.gru(self.dropout(embedded(window, self.item)))
        if self.training:
            query = self.out(self.dropout(x)).flatten(0, 1)
            return Vectors(query, self.item, self.bias, following.flatten()[:, None])
        return Vectors(self.out(pick(x, last(window))), self.item, self.bias)
