"""The baseline of all baselines: recommend to everybody what most users took."""

from __future__ import annotations

from torch import Tensor, nn

from taskkit import DataSpec, Model
from taskkit_recsys import sections
from taskkit_recsys.answer import Scores
from taskkit_recsys.processor import HistoryProcessor


class Popular(Model[sections.Popular, HistoryProcessor]):
    """Counts of items; a run of no epochs."""

    def processor(self, spec: DataSpec) -> HistoryProcessor:
        """Histories; it matters only whether there is one."""
        return HistoryProcessor(spec, length=50)

    def network(self, spec: DataSpec, processor: HistoryProcessor) -> nn.Module:
        """The counts of the training split."""
        return Counts(processor.counts)


class Counts(nn.Module):
    """The logarithm of each item's share in the training split; one is added to each count."""

    shares: Tensor

    def __init__(self, counts: Tensor) -> None:
        super().__init__()
        self.register_buffer("shares", ((counts + 1) / (counts + 1).sum()).log(), persistent=False)

    def forward(self, history: Tensor, user: Tensor) -> Scores:
        """The same scores for every history (batch, places): (batch, items)."""
        return Scores(self.shares.expand(history.shape[0], -1))
