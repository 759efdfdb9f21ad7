"""What a person hands to `taskkit predict`: an image file, a folder of them or a table that lists them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from taskkit import DataError, Example, TableFile, path_text, read_inputs, read_row
from taskkit_image import sections
from taskkit_image.opening import SUFFIXES


def read_images(source: str, options: sections.ReadImages) -> list[Example]:
    """The images of an image file, of a folder and the folders in it, or of a table with a column of paths.

    The id of each is its path as it was given, or as it is in the folder or the table. Raises DataError for what does
    not exist, has no image or cannot be read as a table; whether an image can be read is for `pixels` to find out, also
    of one that a table lists.
    """

    def listed(table: TableFile) -> list[Example]:
        names = table.paths(options.column, "--column", table.path.parent, empty=True)
        rows = zip(names, table.rows(), strict=True)
        return [
            read_row(path_text(name) if name else table.where(row), cells, partial(_file, table, row, name))
            for row, (name, cells) in enumerate(rows)
        ]

    return read_inputs(
        source,
        "An image file",
        SUFFIXES,
        Example,
        listed,
        delimiter=options.delimiter,
        encoding=options.encoding,
    )


def _file(table: TableFile, row: int, name: str) -> Path:
    if not name:
        raise DataError(f"{table.where(row)}: it names no image. Fill the cell, or take the row out.")
    return table.path.parent / name
