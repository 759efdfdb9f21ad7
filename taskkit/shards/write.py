"""From examples to shards: tars, each of a bounded size, and at the end their index."""

from __future__ import annotations

import hashlib
import json
import zlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from taskkit.contracts.data import read_example
from taskkit.contracts.facts import Example, Split
from taskkit.errors import DataError
from taskkit.shards import tars
from taskkit.shards.index import CATALOGUES, EXAMPLES, INDEX, About, Index, Shard, save
from taskkit.shards.place import Place
from taskkit.shards.values import Types, to_document
from taskkit.wording import without_stop

if TYPE_CHECKING:
    import pyarrow as pa

Progress = Callable[[int, int], None]
"""Called with how many examples are written, and of how many."""

SHARD_SIZE = 64 * 10**6
"""Bytes of a shard, as other libraries have it: some hundred pictures, one request."""


def write(
    place: Place,
    splits: Mapping[Split, Sequence[Example]],
    about: About,
    types: Types,
    shard_size: int = SHARD_SIZE,
    progress: Progress = lambda done, total: None,
) -> Index:
    """Write all examples in their order, and at the end the index; what an interrupted call left is written anew.

    A shard ends before it is larger than `shard_size` bytes, but for an example that is larger by itself. Raises
    DataError, which names the example, where one cannot be kept, and for a place that holds anything else.
    """
    _clear(place)
    writer = _Writer(place, types, shard_size, progress, sum(map(len, splits.values())))
    for split, examples in splits.items():
        writer.write(split, examples)
    index = Index(about, writer.shards, writer.table())
    save(place, index)
    return index


def _clear(place: Place) -> None:
    """Remove what an interrupted call left; raises DataError for all else."""
    found = place.sizes() or {}
    if INDEX in found:
        raise DataError(f"{place}: there are shards already. Name another place with -o, or remove them.")
    ours = {*(name for name in found if name.endswith(".tar")), EXAMPLES, CATALOGUES, f"{INDEX}.part"}
    ours |= {f"{EXAMPLES}.part", f"{CATALOGUES}.part"}
    if others := sorted({*found, *place.folders()} - ours):
        raise DataError(f"{place}: it holds {others[0]!r}. A new or empty place was expected. Name another with -o.")
    for name in found:
        place.remove(name)


class _Writer:
    """What was written so far, and the shard that is being filled."""

    def __init__(self, place: Place, types: Types, shard_size: int, progress: Progress, total: int) -> None:
        self.place = place
        self.types = types
        self.shard_size = shard_size
        self.progress = progress
        self.total = total
        self.shards: list[Shard] = []
        self.ids: list[str] = []
        self.starts, self.sizes, self.checks = array("q"), array("q"), array("q")
        self._content = bytearray()
        self._files: dict[Path, str] = {}

    def write(self, split: Split, examples: Sequence[Example]) -> None:
        """Write a split in as many shards as it takes."""
        for number in range(len(examples)):
            example = read_example(examples, number)
            content = self._members(example)
            if self._content and len(self._content) + len(content) + len(tars.END) > self.shard_size:
                self._finish(split)
                content = self._members(example)  # A file that it shared with an example before was in that shard.
            self.ids.append(example.id)
            self.starts.append(len(self._content))
            self.sizes.append(len(content))
            self.checks.append(zlib.crc32(content))
            self._content += content
            self.progress(len(self.ids), self.total)
        if self._content:
            self._finish(split)

    def table(self) -> pa.Table:
        """Where each example is."""
        import pyarrow as pa

        numbers = {"start": self.starts, "size": self.sizes, "crc32": self.checks}
        columns = {name: pa.array(np.frombuffer(each, np.int64)) for name, each in numbers.items()}
        return pa.table({"id": pa.array(self.ids, pa.large_string()), **columns})

    def _finish(self, split: Split) -> None:
        content = bytes(self._content + tars.END)
        before = sum(shard.examples for shard in self.shards)
        name = f"{split}-{sum(shard.split == split for shard in self.shards):05d}.tar"
        self.place.write_at_once(name, content)
        sha256 = hashlib.sha256(content).hexdigest()
        self.shards.append(Shard(name, split, len(content), sha256, len(self.ids) - before))
        self._content.clear()
        self._files.clear()

    def _members(self, example: Example) -> bytes:
        """The members of the tar that hold an example: first its JSON, then its files."""
        key, files = f"{len(self.ids):09d}", dict[str, bytes]()

        def add(suffix: str, source: bytes | Path) -> str:
            if isinstance(source, Path) and source in self._files:
                return self._files[source]
            plain = suffix not in ("", ".json") and not files
            name = f"{key}{suffix}" if plain else f"{key}.{len(files)}{suffix}"
            files[name] = source.read_bytes() if isinstance(source, Path) else source
            if isinstance(source, Path):
                self._files[source] = name
            return name

        try:
            document = to_document(example, add, self.types)
        except OSError as error:
            raise DataError(
                f"example {example.id!r}: its file cannot be read: {without_stop(str(error))}. Correct the path, or "
                "take the example out of the data."
            ) from error
        except DataError as error:
            raise DataError(f"example {example.id!r}: {error}") from error
        return tars.members({f"{key}.json": json.dumps(document).encode(), **files})
