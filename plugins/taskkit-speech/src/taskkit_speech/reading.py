"""What a person hands to `taskkit predict`: an audio file, a folder of them or a table that lists them."""

from __future__ import annotations

import logging
from pathlib import Path

from taskkit import TABLE_SUFFIXES, DataError, Example, read_table
from taskkit_speech import sections
from taskkit_speech.audio import SUFFIXES, Clip
from taskkit_speech.listed import listed_in

log = logging.getLogger("taskkit")

NAMED = 10
"""So many files that are left out are named in one message."""


def read_audio(source: str, column: str = "path") -> list[Example]:
    """The recordings of an audio file, of a folder and the folders in it, or of a table with this `column` of paths.

    The id of each is its path as it was given, or as it is in the folder or the table. A table may have columns `start`
    and `end`, in seconds. Raises DataError for what does not exist, has no recording or cannot be read as a table;
    whether the audio itself can be read is for `read_clip` to find out.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return _folder(path)
    if path.name.lower().endswith(TABLE_SUFFIXES):
        table = read_table(path.absolute())
        rows = listed_in(table, path.absolute().parent, sections.Table(table=str(path), path_column=column), None)
        return [Example(row.id, row.clip, columns=cells) for row, cells in zip(rows, table.rows(), strict=True)]
    if not path.is_file():
        raise DataError(
            f"{source}: there is no such file. An audio file, a folder of them or a table "
            f"({', '.join(TABLE_SUFFIXES)}) of their paths was expected. Correct the path."
        )
    return [Example(source, Clip(path))]


def _folder(folder: Path) -> list[Example]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = [path for path in paths if path.suffix.lower() in SUFFIXES]
    if not files:
        raise DataError(
            f"{folder}: it has no recordings. Files that end in {', '.join(sorted(SUFFIXES))} were expected. Name "
            "another folder, or convert them."
        )
    if others := [path.relative_to(folder).as_posix() for path in paths if path.suffix.lower() not in SUFFIXES]:
        more = f" and {len(others) - NAMED:,} more" if len(others) > NAMED else ""
        log.warning(
            "%s: files of other kinds are left out: %s%s. Recordings end in %s. Convert those that are recordings.",
            folder,
            ", ".join(others[:NAMED]),
            more,
            ", ".join(sorted(SUFFIXES)),
        )
    return [Example(path.relative_to(folder).as_posix(), Clip(path)) for path in files]
