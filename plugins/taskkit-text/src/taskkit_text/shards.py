"""Parquet files of splits: one for each, or several as the model hub names them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from taskkit import DataError, TableFile, read_table

SHARD = re.compile(r"(?P<split>.+)-(\d+)-of-(?P<count>\d+)")
"""`train-00000-of-00002`."""


class Shards(TableFile):
    """The rows of several files of the same columns, one after the other; raises DataError when columns differ."""

    def __init__(self, parts: Sequence[TableFile]) -> None:
        import pyarrow as pa

        try:
            super().__init__(parts[0].path, pa.concat_tables([part.content for part in parts]))
        except pa.ArrowException as error:
            raise DataError(
                f"{parts[0].path}: it cannot be read together with {parts[-1].path.name}: "
                f"{str(error).splitlines()[0]}. The same columns in all files of a split were expected."
            ) from None
        self.parts = parts
        self.starts = [0, *accumulate(map(len, parts))]

    def where(self, row: int) -> str:
        """The file of a row, and its number there."""
        part = bisect_right(self.starts, row) - 1
        return self.parts[part].where(row - self.starts[part])


def grouped(folder: Path) -> dict[str, list[Path]]:
    """The files of each split in order; raises DataError where some of them are missing, or there are too many."""
    splits: dict[str, list[Path]] = defaultdict(list)
    counts: dict[str, set[int]] = defaultdict(set)
    for path in sorted(folder.glob("*.parquet")):
        shard = SHARD.fullmatch(path.stem)
        split = shard["split"] if shard else path.stem
        splits[split].append(path)
        counts[split].add(int(shard["count"]) if shard else 1)
    for split, paths in splits.items():
        if counts[split] != {len(paths)}:
            wanted = " or ".join(map(str, sorted(counts[split])))
            raise DataError(
                f"{folder}: of the split {split!r} there are {len(paths)} files, {paths[0].name} and others. By their "
                f"names, {wanted} were expected. Fetch those that are missing, or take out those of another version."
            )
    return splits


def read(paths: Sequence[Path]) -> TableFile:
    """The table of a split."""
    tables = [read_table(path) for path in paths]
    return Shards(tables) if len(tables) > 1 else tables[0]
