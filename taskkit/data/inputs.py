"""What people hand to `taskkit predict` where it is files: one, a folder of them or a table that lists them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from taskkit.contracts.facts import Example
from taskkit.data.files import find_files
from taskkit.data.tables import TABLE_SUFFIXES, TableFile, read_table, table_suffix
from taskkit.errors import DataError
from taskkit.wording import path_text


def read_inputs(
    source: str,
    what: str,
    suffixes: Collection[str],
    example: Callable[[str, Path], Example],
    listed: Callable[[TableFile], list[Example]],
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
) -> list[Example]:
    """The examples of a file, of a folder of such and the folders in it, or of a table that lists them.

    `example` makes one of an id and a file: the path as it was given, or as it is in the folder; `listed` those of the
    table, read as `delimiter` and `encoding` say. Names of files end in one of `suffixes`, and `what` is one in words,
    "An image file". Raises DataError for what does not exist, has no such file or cannot be read as a table; what is in
    a file, nobody looked at yet.
    """
    if not source:
        # As of a variable that is not set; a path of nothing would be the folder that taskkit was called in.
        raise DataError(f"'': an input is empty. {what}, a folder or a table was expected. Leave it out.")
    path = Path(os.path.expanduser(source))  # noqa: PTH111 - Path.expanduser raises for a user who is not there
    is_folder = os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises OSError for a name that is too long
    if table_suffix(path) and not is_folder:
        return listed(read_table(path.absolute(), delimiter, encoding))
    if delimiter is not None or encoding is not None:
        raise DataError(
            f"{source}: --delimiter and --encoding say how a table ({', '.join(TABLE_SUFFIXES)}) is written, and this "
            "is none by its name. Leave them out."
        )
    if is_folder:
        return [example(path_text(file.relative_to(path)), file) for file in _files(path, suffixes)]
    if not os.path.lexists(path):
        raise DataError(
            f"{source}: there is no such file. {what}, a folder of them or a table ({', '.join(TABLE_SUFFIXES)}) of "
            "their paths was expected. Correct the path."
        )
    return [example(path_text(source), path)]


def read_row(name: str, columns: Mapping[str, Any], read: Callable[[], Any]) -> Example:
    """The example of one row of a table, whose input is what `read` gives.

    Where that raises DataError, the example has its words as `fault`: the other rows are answered all the same.
    """
    try:
        return Example(name, read(), columns=columns)
    except DataError as error:
        return Example(name, None, columns=columns, fault=str(error))


def _files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    files = find_files(folder, suffixes)
    if not files:
        raise DataError(
            f"{folder}: no file in it is of a kind that is read. Names that end in {', '.join(sorted(suffixes))} were "
            "expected. Name another folder, or convert the files."
        )
    return files
