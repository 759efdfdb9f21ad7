"""Fields that lie on a device as a whole, of which batches are cut out there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from taskkit.batches.plan import Indices
from taskkit.batches.store import Column, Encoded, Ragged, Stacked
from taskkit.contracts.facts import is_flag
from taskkit.contracts.model import Processor


class Resident(ABC):
    """A field of all samples."""

    @abstractmethod
    def take(self, where: Tensor, indices: Indices) -> Tensor:
        """That of some samples (batch, …), as `collate` puts it together; `where` (batch,) are their numbers, there."""


@dataclass(frozen=True)
class Even(Resident):
    """One of one shape."""

    values: Tensor
    """Of shape (samples, …)."""

    def take(self, where: Tensor, indices: Indices) -> Tensor:
        """Those rows (batch, …)."""
        return self.values.index_select(0, where)


@dataclass(frozen=True)
class Uneven(Resident):
    """Lists of different lengths."""

    values: Tensor
    """The elements of all samples, one sample after another."""
    starts: Tensor
    """For each sample its first element."""
    lengths: Tensor
    sizes: Indices
    """The same lengths, where nobody waits for the device."""
    fill: int
    """What stands after the end of a shorter one."""

    def take(self, where: Tensor, indices: Indices) -> Tensor:
        """Those lists, filled up to the longest: (batch, longest)."""
        places = torch.arange(int(self.sizes[indices].max()), device=where.device)
        found = (self.starts[where][:, None] + places).clamp(max=len(self.values) - 1)
        return self.values[found].masked_fill(places >= self.lengths[where][:, None], self.fill)


def is_uniform(encoded: Encoded, processor: Processor) -> bool:
    """Whether the processor stacks all samples as they are, or fills them up as `fill_values` says."""
    if type(processor).collate is not Processor.collate:
        return False
    return all(
        _is_even_or_filled(encoded.columns.get(name), name in processor.fill_values)
        for name in encoded.fields
        if not is_flag(name)
    )


def _is_even_or_filled(column: Column | None, filled: bool) -> bool:
    return isinstance(column, Stacked) or (filled and isinstance(column, Ragged) and column.is_of_lists)


def resident(column: Column, fill: int | None, device: torch.device) -> Resident:
    """A column on a device; `fill` is what lists are filled up with."""
    if isinstance(column, Stacked):
        return Even(column.values.to(device))
    assert isinstance(column, Ragged)
    assert fill is not None, "resident data have one shape, or can be filled up"
    sizes = column.shapes[:, 0]
    starts, lengths = (torch.from_numpy(of).to(device) for of in (column.starts, sizes))
    return Uneven(column.values.to(device), starts, lengths, sizes, fill)
