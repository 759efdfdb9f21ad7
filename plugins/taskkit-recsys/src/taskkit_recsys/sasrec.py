"""SASRec (Kang and McAuley, 2018): a transformer that predicts, at each place of a history, the item that follows."""

from __future__ import annotations

from torch import Tensor, nn

from taskkit import DataSpec, Model
from taskkit_recsys import sections
from taskkit_recsys.answer import Vectors
from taskkit_recsys.processor import HistoryProcessor
from taskkit_recsys.transformer import Transformer
from taskkit_recsys.windows import embedded, last, pick


class Sasrec(Model[sections.Sasrec, HistoryProcessor]):
    """Self-attention over a history."""

    def processor(self, spec: DataSpec) -> HistoryProcessor:
        """Windows of `length` items."""
        return HistoryProcessor(spec, self.config.length)

    def network(self, spec: DataSpec, processor: HistoryProcessor) -> nn.Module:
        """A freshly initialised network for the items of the data."""
        return SelfAttentive(self.config, len(processor.histories.items))

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        """The transformer's blocks."""
        return list(network.get_submodule("transformer.blocks").children())


class SelfAttentive(nn.Module):
    """A causal transformer whose queries are compared with the same vectors of items that it reads."""

    def __init__(self, config: sections.Sasrec, items: int) -> None:
        super().__init__()
        self.transformer = Transformer(config, items, config.length, causal=True)

    def forward(self, history: Tensor, user: Tensor) -> Vectors:
        """Windows (batch, length + 1) in; queries of all places in training, else of the last item's."""
        window, following, item = history[:, :-1], history[:, 1:], self.transformer.item
        x = self.transformer(embedded(window, item))
        if self.training:
            return Vectors(x.flatten(0, 1), item, target=following.flatten()[:, None])
        return Vectors(pick(x, last(window)), item)
