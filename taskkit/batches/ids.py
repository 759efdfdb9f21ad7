"""The ids of many examples as two arrays: a list of strings takes several times the memory, and long to read."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from taskkit.errors import DataError


@dataclass(frozen=True, eq=False)
class Ids(Sequence[str]):
    """The id of each example by its number."""

    text: NDArray[np.uint8]
    """All of them in UTF-8, one after the other."""
    ends: NDArray[np.int64]
    """Where each ends in that."""

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[str]: ...
    def __getitem__(self, number: int | slice) -> str | Sequence[str]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        end = int(self.ends[number])  # raises IndexError, by which a sequence ends
        start = int(self.ends[number - 1]) if number % len(self) else 0
        return self.text[start:end].tobytes().decode(errors="surrogatepass")


class GrowingIds:
    """Ids while they come, one after the other."""

    def __init__(self) -> None:
        self._text = bytearray()
        self._ends = array("q")
        self._hashes = array("q")

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, example: str) -> None:
        """Append one."""
        self._text += example.encode(errors="surrogatepass")
        self._ends.append(len(self._text))
        self._hashes.append(hash(example))

    def whole(self) -> Ids:
        """All of them; raises DataError where two are the same."""
        ids = Ids(np.frombuffer(self._text, np.uint8), np.frombuffer(self._ends, np.int64))
        hashes = np.frombuffer(self._hashes, np.int64)
        order = np.argsort(hashes, kind="stable")
        # Different ids may have one hash; all of one hash stand together.
        alike = np.flatnonzero(np.diff(hashes[order]) == 0)
        for first in np.unique(hashes[order[alike]]).tolist():
            _refuse_the_same(ids, np.flatnonzero(hashes == first).tolist())
        return ids


def _refuse_the_same(ids: Ids, numbers: Sequence[int]) -> None:
    seen: dict[str, int] = {}
    for number in numbers:
        if (first := seen.setdefault(ids[number], number)) != number:
            raise DataError(
                f"example {ids[number]!r}: number {first} of its split has the same id as number {number}. Ids are "
                "unique in a split. Correct the data module's ids."
            )
