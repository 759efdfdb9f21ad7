"""BERT4Rec (Sun et al., 2019): a transformer that fills in the masked items of a history, from both sides."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from taskkit import DataSpec, Model
from taskkit_recsys import sections
from taskkit_recsys.answer import Vectors
from taskkit_recsys.arrays import NONE
from taskkit_recsys.processor import HistoryProcessor
from taskkit_recsys.transformer import Transformer
from taskkit_recsys.windows import embedded


class Bert4rec(Model[sections.Bert4rec, HistoryProcessor]):
    """Self-attention that fills in masked items."""

    def processor(self, spec: DataSpec) -> HistoryProcessor:
        """Windows of `length` items, and a place for the mask that stands for what follows."""
        return HistoryProcessor(spec, self.config.length)

    def network(self, spec: DataSpec, processor: HistoryProcessor) -> nn.Module:
        """A freshly initialised network for the items of the data."""
        return Cloze(self.config, len(processor.histories.items))

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        """The transformer's blocks."""
        return list(network.get_submodule("transformer.blocks").children())


class Cloze(nn.Module):
    """A transformer with a vector for the mask, and a head whose queries are compared with the vectors of items.

    Which items are masked in training is drawn anew for each batch, on its device.
    """

    def __init__(self, config: sections.Bert4rec, items: int) -> None:
        super().__init__()
        self.masked, self.mask_last = config.masked, config.mask_last
        self.transformer = Transformer(config, items, config.length + 1, causal=False)
        self.mask = nn.Parameter(torch.randn(config.width) * config.width**-0.5)
        self.head = nn.Sequential(nn.Linear(config.width, config.width), nn.GELU(), nn.LayerNorm(config.width))
        self.bias = nn.Parameter(torch.zeros(items))

    def forward(self, history: Tensor, user: Tensor) -> Vectors:
        """Windows (batch, length + 1) in; queries of the masked items in training, else of what follows the last."""
        if self.training:
            places = draw(history, self.masked, self.mask_last)  # (batch, most masks)
            target = history.gather(1, places.clamp(min=0)).masked_fill(places == NONE, NONE)
        else:
            # After the last item; where a training window leaves no place, its last item is predicted.
            places, target = (history[:, :-1] != NONE).sum(1, keepdim=True), None
        query = self.head(self._read(history, places)).flatten(0, 1)
        return Vectors(query, self.transformer.item, self.bias, None if target is None else target.flatten()[:, None])

    def _read(self, history: Tensor, places: Tensor) -> Tensor:
        """The vectors (batch, masks, width) of some places (batch, masks) of windows when these places are masked."""
        spare = history.shape[1]
        hidden = torch.zeros(history.shape[0], spare + 1, dtype=torch.bool, device=history.device)
        hidden = hidden.scatter(1, places.masked_fill(places == NONE, spare), True)[:, :spare]
        vectors = torch.where(hidden[..., None], self.mask, embedded(history, self.transformer.item))
        x = self.transformer(vectors, hidden | (history != NONE))
        read: Tensor = x.gather(1, places.clamp(min=0)[..., None].expand(-1, -1, x.shape[2]))
        return read


def draw(history: Tensor, share: float, only_last: float) -> Tensor:
    """The places of the items to mask in each window (batch, places), NONE where a window has fewer: (batch, most).

    It is a random `share` of a window's items, one at least, or, of a share `only_last` of the windows, the last item
    alone: that is what the network predicts after training.
    """
    rows, size = history.shape
    valid = history != NONE
    lengths = valid.sum(1, keepdim=True)
    chance = torch.rand(rows, size, device=history.device).masked_fill(~valid, -1)
    places = chance.topk(math.ceil(share * size)).indices  # in random order, first those of items
    count = (share * lengths).round().clamp(min=1)
    alone = torch.rand(rows, 1, device=history.device) < only_last
    places = torch.where(alone, lengths - 1, places)
    rank = torch.arange(places.shape[1], device=history.device)
    return places.masked_fill(rank >= torch.where(alone, 1, count), NONE)
