"""What a person hands to `taskkit predict`: an image file, a folder of them or a table that lists them."""

from __future__ import annotations

import os
from pathlib import Path

from taskkit import TABLE_SUFFIXES, DataError, Example, find_files, path_text, read_table
from taskkit_image.layouts import present
from taskkit_image.opening import SUFFIXES


def read_images(source: str, column: str = "path") -> list[Example]:
    """The images of an image file, of a folder and the folders in it, or of a table with this `column` of paths.

    The id of each is its path as it was given, or as it is in the folder or the table. Raises DataError for what does
    not exist, has no image or cannot be read as a table; whether an image can be read is for `pixels` to find out.
    """
    path = Path(os.path.expanduser(source))  # noqa: PTH111 - Path.expanduser raises for a user who is not there
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises OSError for a name that is too long
        return _folder(path)
    if path.name.lower().endswith(TABLE_SUFFIXES):
        rows = read_table(path.absolute())
        listed = rows.filled(column, "--column")
        files = present(rows, listed, path.absolute().parent, "Correct the table.")
        found = zip(listed, files, rows.rows(), strict=True)
        return [Example(path_text(name), file, columns=cells) for name, file, cells in found]
    if not os.path.lexists(path):
        raise DataError(
            f"{source}: there is no such file. An image file, a folder of them or a table "
            f"({', '.join(TABLE_SUFFIXES)}) of their paths was expected. Correct the path."
        )
    return [Example(path_text(source), path)]


def _folder(folder: Path) -> list[Example]:
    files = find_files(folder, SUFFIXES)
    if not files:
        raise DataError(
            f"{folder}: it has no images. Files that end in {', '.join(sorted(SUFFIXES))} were expected. Name another "
            "folder, or convert them."
        )
    return [Example(path_text(path.relative_to(folder)), path) for path in files]
