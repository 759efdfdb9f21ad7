"""LightGCN (He et al., 2020): vectors of users and items, spread over the graph of who took what."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from taskkit import DataSpec, Model
from taskkit_recsys import sections
from taskkit_recsys.answer import Vectors
from taskkit_recsys.item_knn import interactions_of
from taskkit_recsys.mf import vectors
from taskkit_recsys.processor import HistoryProcessor


class Lightgcn(Model[sections.Lightgcn, HistoryProcessor]):
    """A graph network without weights but the vectors themselves."""

    def processor(self, spec: DataSpec) -> HistoryProcessor:
        """Windows of `length` items; what they remember of training is the graph."""
        return HistoryProcessor(spec, self.config.length)

    def network(self, spec: DataSpec, processor: HistoryProcessor) -> nn.Module:
        """A freshly initialised network for the users and items of the data."""
        return Graph(self.config, interactions_of(processor))

    def exportable(self, network: nn.Module) -> nn.Module:
        """The vectors as they are once they are spread: a program needs no graph, and ONNX has no sparse matrices."""
        assert isinstance(network, Graph)
        return Spread(*network.spread())


class Spread(nn.Module):
    """Vectors of users (users, width) and of items (items, width) that stay as they are."""

    user: Tensor
    item: Tensor

    def __init__(self, user: Tensor, item: Tensor) -> None:
        super().__init__()
        self.register_buffer("user", user.detach())
        self.register_buffer("item", item.detach())

    def forward(self, history: Tensor, user: Tensor) -> Vectors:
        """Users (batch,) in, with a window of each (batch, length + 1)."""
        return Vectors(vectors(user, history, self.user, self.item), self.item)


class Graph(nn.Module):
    """The mean of each vector after 0, 1, … `depth` steps along the graph of `interactions` (users, items)."""

    to_item: Tensor
    to_user: Tensor
    item_weight: Tensor
    user_weight: Tensor

    def __init__(self, config: sections.Lightgcn, interactions: sparse.csr_matrix) -> None:
        super().__init__()
        self.depth = config.depth
        users, items = interactions.shape
        self.user = nn.Parameter(torch.randn(users, config.width) * 0.1)
        self.item = nn.Parameter(torch.randn(items, config.width) * 0.1)
        edges = normalised(interactions)
        # Two dense buffers each: processes that train together cannot send each other a sparse one.
        for name, matrix in (("user", edges), ("item", edges.T.tocsr())):
            at = matrix.tocoo()
            self.register_buffer(f"to_{name}", torch.from_numpy(np.stack([at.row, at.col]).astype(np.int64)), False)
            self.register_buffer(f"{name}_weight", torch.from_numpy(matrix.data.astype(np.float32)), False)

    def forward(self, history: Tensor, user: Tensor) -> Vectors:
        """Users (batch,) in, with a window of each (batch, length + 1), whose items their vectors are to find."""
        users, items = self.spread()
        return Vectors(vectors(user, history, users, items), items, target=history if self.training else None)

    def spread(self) -> tuple[Tensor, Tensor]:
        """The vectors of all users (users, width) and of all items (items, width), in float32."""
        with torch.autocast(self.user.device.type, enabled=False):
            users: list[Tensor] = [self.user]
            items: list[Tensor] = [self.item]
            to_user = _matrix(self.to_user, self.user_weight, len(self.user), len(self.item))
            to_item = _matrix(self.to_item, self.item_weight, len(self.item), len(self.user))
            for _ in range(self.depth):
                user, item = users[-1], items[-1]
                users.append(to_user @ item)
                items.append(to_item @ user)
            return torch.stack(users).mean(0), torch.stack(items).mean(0)


def normalised(interactions: sparse.csr_matrix) -> sparse.csr_matrix:
    """Each edge (users, items) divided by the square roots of how many edges its two ends have (equation 3)."""
    ends = (np.asarray(interactions.sum(axis)).ravel() for axis in (1, 0))
    by_user, by_item = (sparse.diags(1 / np.sqrt(np.maximum(count, 1))) for count in ends)
    return (by_user @ interactions @ by_item).tocsr()


def _matrix(at: Tensor, values: Tensor, rows: int, columns: int) -> Tensor:
    # Else it warns that nothing is checked.
    with torch.sparse.check_sparse_tensor_invariants(enable=False):  # type: ignore[no-untyped-call]
        return torch.sparse_coo_tensor(at, values, (rows, columns), is_coalesced=True)
