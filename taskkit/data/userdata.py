"""What lies in a file or a folder that a person hands over, for plugins to say what it is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from taskkit.contracts.guess import Columns, UserData
from taskkit.data.files import WRITTEN_BY_SYSTEMS
from taskkit.data.tables import SPLIT_NAMES, TABLE_SUFFIXES, read_table, table_suffix
from taskkit.errors import DataError

ROWS = 1000
"""So many rows of a table are shown, spread evenly over it."""
TABLES = 8
"""More tables in one folder are shards or exports: nobody lists these by hand."""

CLASSES = 100
"""More words than these are rather names than classes."""
LABELS = ("label", "class", "category", "target", "sentiment", "topic")
"""What people call a column of classes, in lower case."""


def look_at(path: Path) -> UserData:
    """What is there; a table of a folder that cannot be read is passed over, and said to be.

    Raises DataError for a path that is not there, for a folder without files, and for a table that cannot be read.
    """
    if path.is_dir():
        files = list(_files(path))
        if not files:
            raise DataError(
                f"{path}: it is empty: there is no file in this folder that is not hidden. Images, recordings or "
                "tables were expected. Name the folder that has them."
            )
        tables = [file for file in files if len(file.parts) == 1 and table_suffix(file)]
        shown = tables if len(tables) <= TABLES else []
        others = tuple(file for file in files if file not in set(shown))
        read: dict[Path, Columns] = {}
        unreadable: list[str] = []
        for file in shown:
            try:
                read[path / file] = _columns(path / file)
            except DataError as error:
                unreadable.append(str(error))
        return UserData(path, read, others, tuple(unreadable))
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder as {path.absolute()}. Correct the path.")
    if not table_suffix(path):
        raise DataError(
            f"{path}: not a table by its name, and no folder. A folder of files, or a table that ends in "
            f"{', '.join(TABLE_SUFFIXES)}, was expected."
        )
    return UserData(path, {path: _columns(path)})


def class_columns(columns: Columns) -> list[str]:
    """The columns that hold few words again and again, as classes do; those that are called so come first.

    A column of splits is none.
    """
    found = [name for name, cells in columns.items() if _are_classes(cells)]
    return sorted(found, key=lambda name: name.lower() not in LABELS)


def _are_classes(cells: Sequence[str]) -> bool:
    words = set(cells)
    if "" in words or all(word.lower() in SPLIT_NAMES for word in words):
        return False
    return 2 <= len(words) <= min(CLASSES, len(cells) / 2)


def _files(folder: Path) -> Iterator[Path]:
    """The files below a folder, relative to it, in order; hidden ones and those that systems write are left out."""
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if _is_meant(name))
        for name in sorted(filter(_is_meant, files)):
            yield (Path(here) / name).relative_to(folder)


def _is_meant(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in WRITTEN_BY_SYSTEMS


def _columns(path: Path) -> Columns:
    table = read_table(path).content
    step = max(1, table.num_rows // ROWS)
    some = table.take(list(range(0, table.num_rows, step))[:ROWS])
    return {
        name: ["" if cell is None else str(cell).strip() for cell in some.column(name).to_pylist()]
        for name in some.column_names
    }
