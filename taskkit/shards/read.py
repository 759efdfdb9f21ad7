"""Examples out of shards, each by its number, in any order and process."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from taskkit.cachedir import cache_directory, entries, exclusive, filling, remove
from taskkit.contracts.facts import DataProblem, Example, Split
from taskkit.shards import tars
from taskkit.shards.index import Index, Shard, missing, wrong_bytes
from taskkit.shards.place import Place
from taskkit.shards.values import Types, from_document

if TYPE_CHECKING:
    import pyarrow as pa


Read = Callable[[Shard, int, int], bytes]
"""Gives the bytes of a shard from a first one to before a last one; raises DataError or SourceError."""


@dataclass(frozen=True)
class Direct:
    """Reads of each shard what is asked for, where it is."""

    place: Place

    def __call__(self, shard: Shard, start: int, end: int) -> bytes:
        """Those bytes."""
        try:
            return self.place.read(shard.name, start, end)
        except FileNotFoundError:
            raise missing(self.place, shard.name) from None


@dataclass(frozen=True)
class Kept:
    """Reads shards that are elsewhere in full, and keeps those that were read last in the cache, for all processes."""

    place: Place
    most: int
    """How many are kept."""

    def __call__(self, shard: Shard, start: int, end: int) -> bytes:
        """Those bytes; raises SourceError too when the cache cannot be written."""
        entry = cache_directory() / "shards" / shard.sha256
        while True:
            try:
                with (entry / "shard.tar").open("rb", buffering=0) as file:
                    file.seek(start)
                    content = file.read(end - start)
                os.utime(entry)
                return content
            except FileNotFoundError:  # It was not there, or is no longer.
                self._fetch(shard, entry)

    def _fetch(self, shard: Shard, entry: Path) -> None:
        with exclusive(entry):
            if entry.exists():
                return
            content = Direct(self.place)(shard, 0, shard.size)
            if hashlib.sha256(content).hexdigest() != shard.sha256:
                raise wrong_bytes(self.place, shard.name)
            with filling(entry) as folder:
                (folder / "shard.tar").write_bytes(content)
        found = [(_last_use(each), each) for each in entries(entry.parent) if each != entry]
        for _, old in sorted(found)[: max(0, len(found) + 1 - self.most)]:
            remove(old)


def _last_use(entry: Path) -> float:
    with suppress(FileNotFoundError):  # Another process removes it.
        return entry.stat().st_mtime
    return 0.0


@dataclass(frozen=True)
class ShardExamples(Sequence[Example]):
    """The examples of a split."""

    place: Place
    read: Read
    shards: Sequence[Shard]
    ends: NDArray[np.int64]
    """For each shard how many examples there are up to its end."""
    first: int
    """The number that the first example has among those of all splits, by which its members are named."""
    ids: Sequence[str]
    """The id of each example, for which no shard is read."""
    where: Mapping[str, NDArray[np.int64]]
    """The other columns of the index, of this split."""
    types: Types

    def __len__(self) -> int:
        return len(self.ids)

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

    def _file(self, members: Mapping[str, bytes], name: str) -> bytes:
        """The content of a file, which may be among the members of an example before."""
        if name not in members:
            members = self._members(int(name.partition(".")[0]) - self.first)
        return members[name]

    def _members(self, number: int) -> dict[str, bytes]:
        start, size, crc32 = (int(self.where[name][number]) for name in ("start", "size", "crc32"))
        shard = self.shards[int(np.searchsorted(self.ends, number, side="right"))]
        content = self.read(shard, start, start + size)
        if len(content) != size or zlib.crc32(content) != crc32:
            raise wrong_bytes(self.place, shard.name)
        return tars.files(content)


@dataclass(frozen=True)
class Ids(Sequence[str]):
    """Ids in a column of the index."""

    column: pa.ChunkedArray

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, number: Any) -> Any:
        return self.column[number].as_py() if isinstance(number, int) else self.column[number].to_pylist()


def splits(place: Place, index: Index, types: Types, together: int | None = None) -> Mapping[Split, ShardExamples]:
    """The examples of each split.

    Where `together` says of how many shards examples are read at a time, those of a place elsewhere are read in full.
    """
    read = Direct(place) if together is None or place.is_here else Kept(place, 2 * together + 2)
    found: dict[Split, ShardExamples] = {}
    first = 0
    for split in dict.fromkeys(shard.split for shard in index.shards):
        shards = [shard for shard in index.shards if shard.split == split]
        ends = np.cumsum([shard.examples for shard in shards])
        table = index.examples.slice(first, int(ends[-1]))
        where = {name: table[name].to_numpy() for name in ("start", "size", "crc32")}
        found[split] = ShardExamples(place, read, shards, ends, first, Ids(table["id"]), where, types)
        first += int(ends[-1])
    return found


def problems(place: Place, index: Index) -> Iterator[DataProblem]:
    """Read all shards in full, and tell of those whose hash is another than when they were written."""
    for shard in index.shards:
        content = Direct(place)(shard, 0, shard.size)
        if hashlib.sha256(content).hexdigest() != shard.sha256:
            yield DataProblem("error", "damaged", str(wrong_bytes(place, shard.name)))
