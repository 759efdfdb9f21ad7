"""What a person hands to `taskkit predict`: an audio file, a folder of them or a table that lists them."""

from __future__ import annotations

import os
from pathlib import Path

from taskkit import TABLE_SUFFIXES, DataError, Example, find_files, path_text, read_table
from taskkit_speech import sections
from taskkit_speech.audio import SUFFIXES, Clip
from taskkit_speech.listed import listed_in


def read_audio(source: str, options: sections.ReadAudio) -> list[Example]:
    """The recordings of an audio file, of a folder and the folders in it, or of a table with a column of paths.

    The id of each is its path as it was given, or as it is in the folder or the table. A table may have columns `start`
    and `end`, in seconds. Raises DataError for what does not exist, has no recording or cannot be read as a table;
    whether the audio itself can be read is for `read_clip` to find out.
    """
    path = Path(os.path.expanduser(source))  # noqa: PTH111 - Path.expanduser raises for a user who is not there
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises OSError for a name that is too long
        return _folder(path, options.max_seconds)
    if path.name.lower().endswith(TABLE_SUFFIXES):
        listing = sections.Table(table=str(path), path_column=options.column, max_seconds=options.max_seconds)
        table = read_table(path.absolute())
        rows = listed_in(table, path.absolute(), listing, None)
        return [Example(row.id, row.clip, columns=cells) for row, cells in zip(rows, table.rows(), strict=True)]
    if not os.path.lexists(path):
        raise DataError(
            f"{source}: there is no such file. An audio file, a folder of them or a table "
            f"({', '.join(TABLE_SUFFIXES)}) of their paths was expected. Correct the path."
        )
    return [Example(path_text(source), Clip(path, max_seconds=options.max_seconds))]


def _folder(folder: Path, max_seconds: float) -> list[Example]:
    files = find_files(folder, SUFFIXES)
    if not files:
        raise DataError(
            f"{folder}: it has no recordings. Files that end in {', '.join(sorted(SUFFIXES))} were expected. Name "
            "another folder, or convert them."
        )
    return [Example(path_text(path.relative_to(folder)), Clip(path, max_seconds=max_seconds)) for path in files]
