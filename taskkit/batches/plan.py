"""Which samples make which batch: a function of seed and epoch alone, so that a run can go on inside an epoch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from taskkit.batches.store import Encoded
from taskkit.contracts.model import Processor
from taskkit.errors import DataError

Indices = NDArray[np.int64]
"""Sample numbers, or lengths of samples by their number."""


@dataclass(kw_only=True)
class Plan:
    """The batches of an epoch, as many in each, on one of `world` processes.

    Batch i of `world` processes together holds what batch i of one process with `world` times the size holds.
    """

    seed: int = 0
    shuffle: bool = False
    drop_last: bool = False
    rank: int = 0
    world: int = 1
    epoch: int = 0
    blocks: Indices | None = None
    """Where each block of samples ends that are read together, as those of a shard; None: they are all one block."""
    together: int = 1
    """Samples of so many blocks at a time are shuffled among each other."""
    _mine: tuple[tuple[int, int, int], list[Indices]] | None = field(default=None, repr=False)

    @abstractmethod
    def global_batches(self, order: Indices) -> list[Indices]:
        """The batches of all processes together, of samples in this order."""

    @property
    @abstractmethod
    def samples(self) -> int:
        """How many samples there are."""

    @property
    def samples_per_batch(self) -> float | None:
        """How many samples a batch of one process has on average; None: all batches have as many."""
        return self.samples / (self.world * len(self))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls it before each."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._batches())

    def batches(self, start: int = 0) -> Iterator[Indices]:
        """The sample numbers of each batch from number `start` on."""
        yield from self._batches()[start:]

    def random(self) -> np.random.Generator:
        """What decides the order of this epoch."""
        return np.random.default_rng([self.seed, self.epoch])

    def _batches(self) -> list[Indices]:
        now = (self.epoch, self.rank, self.world)
        if self._mine is None or self._mine[0] != now:
            order = self._shuffled() if self.shuffle else np.arange(self.samples)
            mine = [numbers[self.rank :: self.world] for numbers in self.global_batches(order)]
            self._mine = now, [numbers for numbers in mine if len(numbers)]
        return self._mine[1]

    def _shuffled(self) -> Indices:
        random = self.random()
        if self.blocks is None:
            return random.permutation(self.samples)
        blocks = np.split(np.arange(self.samples), self.blocks[:-1])
        mixed = [blocks[number] for number in random.permutation(len(blocks))]
        parts = [np.concatenate(mixed[at : at + self.together]) for at in range(0, len(mixed), self.together)]
        return np.concatenate([random.permutation(part) for part in parts])


@dataclass
class Fixed(Plan):
    """Batches of so many samples."""

    count: int
    batch_size: int

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return self.count

    @property
    def samples_per_batch(self) -> None:
        """All batches have as many, but perhaps the last."""
        return

    def global_batches(self, order: Indices) -> list[Indices]:
        """Cut the order at every `batch_size`."""
        size = self.batch_size * self.world
        whole = len(order) // size * size
        return [order[at : at + size] for at in range(0, whole if self.drop_last else len(order), size)]


@dataclass
class Bucketed(Plan):
    """Batches of samples of like length, as many as a budget of units holds once all are padded to one length.

    What is left of each length when its batches are full goes to the next longer one, so an epoch has one batch that is
    not full. It is never left out: it holds the longest samples.
    """

    padded: Indices
    """The length that each sample is padded to among equals."""
    budget: float
    """Units in a batch, padding included; at least the longest sample's."""

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(self.padded)

    def global_batches(self, order: Indices) -> list[Indices]:
        """Fill batches from the shortest samples to the longest, then hand them over in random order."""
        lengths = self.padded[order]
        batches: list[Indices] = []
        left = order[:0]
        for length in np.unique(lengths):
            bucket = np.concatenate([left, order[lengths == length]])
            size = int(self.budget // length) * self.world
            whole = len(bucket) // size * size
            batches += [bucket[at : at + size] for at in range(0, whole, size)]
            left = bucket[whole:]
        if 0 < len(left) < self.world and batches and self.shuffle:
            left = np.concatenate([batches.pop(), left])  # every process needs a share of it
        if len(left):
            batches.append(left)
        if not self.shuffle:
            return batches
        mixed = np.random.default_rng([self.seed, self.epoch, 1]).permutation(len(batches))
        return [batches[number] for number in mixed]


@dataclass
class Packed(Plan):
    """Batches of any samples whose lengths together are about a budget of units: at most one sample more."""

    lengths: Indices
    budget: float
    """Units in a batch; at least the longest sample's, and twice that where several processes train."""

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(self.lengths)

    def global_batches(self, order: Indices) -> list[Indices]:
        """Cut the order wherever another budget is full; the number of batches depends on the sum of lengths alone.

        Raises DataError where a budget holds too little for several processes.
        """
        ends = np.cumsum(self.lengths[order])
        budget = self.budget * self.world
        if self.world > 1 and self.budget < 2 * self.lengths.max():
            raise DataError(
                f"loader.budget: {self.world} processes need a budget of at least two of the longest samples, which "
                f"have {self.lengths.max()}; it is {self.budget:g}. Raise it."
            )
        count = max(1, int(np.ceil(ends[-1] / budget)))
        cuts = np.searchsorted(ends, budget * np.arange(1, count), side="right")
        # The last batch may be small, but every process needs a share of it.
        return np.split(order, np.minimum(cuts, len(order) - self.world))


def plan(
    encoded: Encoded,
    processor: Processor,
    batch_size: int,
    budget: float | None = None,
    *,
    seed: int = 0,
    shuffle: bool = False,
    drop_last: bool = False,
) -> Plan:
    """The plan that suits the processor's layout: batches of so many samples, or of a budget of the processor's units.

    Without a budget a batch holds as many units as `batch_size` samples of mean length. Raises DataError for a budget
    that does not hold the longest sample, or that has nothing to count.
    """
    if processor.layout == "stacked":
        if budget is not None:
            raise DataError(
                f"loader.budget is {budget:g}, but these samples all have one shape. Set loader.batch_size instead."
            )
        return Fixed(len(encoded), batch_size, seed=seed, shuffle=shuffle, drop_last=drop_last)
    packed = processor.layout == "packed"
    lengths = encoded.lengths if packed else _padded(encoded.lengths, processor)
    units, longest = (budget or 0) * processor.unit.scale, int(lengths.max(initial=1))
    if budget is not None and units < longest:
        raise DataError(
            f"loader.budget: {budget:g} {processor.unit.name} do not hold the longest sample, which has "
            f"{longest / processor.unit.scale:g}. Raise it to at least that, or shorten the samples."
        )
    units = max(units or batch_size * float(lengths.mean()), longest)
    if packed:
        return Packed(encoded.lengths, units, seed=seed, shuffle=shuffle)
    if encoded.windowed and not shuffle:
        # The windows of an example must keep their order, to be joined.
        return Fixed(len(encoded), max(1, int(units // longest)))
    return Bucketed(lengths, units, seed=seed, shuffle=shuffle)


def _padded(lengths: Indices, processor: Processor) -> Indices:
    known, where = np.unique(lengths, return_inverse=True)
    return np.array([processor.padded_length(int(length)) for length in known], dtype=np.int64)[where]
