"""A long recording cut into windows that overlap, so that its frames can be put together again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import NamedTuple


class Window(NamedTuple):
    """Some samples of a recording, and which of their frames are kept."""

    start: int
    """First sample; a multiple of the hop, so that the frames of all windows lie on one grid."""
    stop: int
    """One after the last sample."""
    first: int
    """First frame kept, counted in the window."""
    last: int
    """One after the last frame kept."""


class Grid(NamedTuple):
    """Where the frames of a network lie."""

    hop: int
    """Samples from one frame to the next."""
    field: int
    """Samples that one frame hears."""

    @classmethod
    def of(cls, kernels: Sequence[int], strides: Sequence[int]) -> Grid:
        """The frames of convolutions one after the other, without padding."""
        field = 1
        for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
            field = (field - 1) * stride + kernel
        return cls(prod(strides), field)

    def frames(self, samples: int) -> int:
        """How many frames there are of so many samples."""
        return max(0, (samples - self.field) // self.hop + 1)


def cut(samples: int, size: int, overlap: int, grid: Grid) -> list[Window]:
    """Windows of `size` samples that overlap by `overlap` or a little more, of which each frame is kept in one.

    Two neighbours part at the middle of the frames that both have: there each has heard what comes before and after.
    """
    if samples <= size:
        return [Window(0, samples, 0, grid.frames(samples))]
    count = -(-(samples - overlap) // (size - overlap))
    starts = [round(number * (samples - size) / (count - 1) / grid.hop) * grid.hop for number in range(count)]
    stops = [*(start + size for start in starts[:-1]), samples]
    begins = [start // grid.hop for start in starts]
    ends = [begin + grid.frames(stop - start) for begin, start, stop in zip(begins, starts, stops, strict=True)]
    middles = [(begin + end) // 2 for begin, end in zip(begins[1:], ends, strict=False)]
    kept = pairwise([0, *middles, ends[-1]])
    return [
        Window(start, stop, first - begin, last - begin)
        for start, stop, begin, (first, last) in zip(starts, stops, begins, kept, strict=True)
    ]


def parts(samples: int, size: int) -> list[tuple[int, int]]:
    """The fewest stretches of at most `size` samples, all nearly as long, without overlap."""
    count = max(1, -(-samples // size))
    edges = [round(number * samples / count) for number in range(count + 1)]
    return list(pairwise(edges))
