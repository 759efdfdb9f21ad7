"""Examples out of shards, each by its number, in any order and process."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from taskkit.contracts.facts import DataProblem, Example, Split
from taskkit.errors import DataError
from taskkit.shards.index import Index, Shard, wrong_bytes
from taskkit.shards.place import Place
from taskkit.shards.values import Types, from_document

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class ShardExamples(Sequence[Example]):
    """The examples of a split."""

    place: Place
    shards: Sequence[Shard]
    ends: NDArray[np.int64]
    """For each shard how many examples there are up to its end."""
    first: int
    """The number that the first example has among those of all splits, by which its members are named."""
    table: pa.Table
    """As in the index, of this split."""
    types: Types

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, number: int) -> Example: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Example]: ...
    def __getitem__(self, number: int | slice) -> Example | Sequence[Example]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        number %= len(self)
        members = self._members(number)
        document = json.loads(members[f"{self.first + number:09d}.json"])
        return from_document(document, partial(self._file, members), self.types)

    @property
    def ids(self) -> Sequence[str]:
        """The id of each example, for which no shard is read."""
        return Ids(self.table["id"])

    def _file(self, members: Mapping[str, bytes], name: str) -> bytes:
        """The content of a file, which may be among the members of an example before."""
        if name not in members:
            members = self._members(int(name.partition(".")[0]) - self.first)
        return members[name]

    def _members(self, number: int) -> dict[str, bytes]:
        start, size, crc32 = (self.table[name][number].as_py() for name in ("start", "size", "crc32"))
        shard = self.shards[int(np.searchsorted(self.ends, number, side="right"))]
        try:
            content = self.place.read(shard.name, start, start + size)
        except FileNotFoundError:
            raise DataError(f"{self.place}/{shard.name}: it is missing. Copy this shard again.") from None
        if len(content) != size or zlib.crc32(content) != crc32:
            raise wrong_bytes(self.place, shard.name)
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


@dataclass(frozen=True)
class Ids(Sequence[str]):
    """Ids in a column of the index."""

    column: pa.ChunkedArray

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, number: Any) -> Any:
        return self.column[number].as_py() if isinstance(number, int) else self.column[number].to_pylist()


def splits(place: Place, index: Index, types: Types) -> Mapping[Split, ShardExamples]:
    """The examples of each split."""
    found: dict[Split, ShardExamples] = {}
    first = 0
    for split in dict.fromkeys(shard.split for shard in index.shards):
        shards = [shard for shard in index.shards if shard.split == split]
        ends = np.cumsum([shard.examples for shard in shards])
        table = index.examples.slice(first, int(ends[-1]))
        found[split] = ShardExamples(place, shards, ends, first, table, types)
        first += int(ends[-1])
    return found


def problems(place: Place, index: Index) -> Iterator[DataProblem]:
    """Read all shards in full, and tell of those whose hash is another than when they were written."""
    for shard in index.shards:
        content = place.read(shard.name)
        if hashlib.sha256(content).hexdigest() != shard.sha256:
            yield DataProblem("error", "damaged", str(wrong_bytes(place, shard.name)))
