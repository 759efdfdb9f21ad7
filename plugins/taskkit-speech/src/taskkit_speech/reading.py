"""What a person hands to `taskkit predict`: an audio file, a folder of them or a table that lists them."""

from __future__ import annotations

from pathlib import Path

from taskkit import Example, TableFile, read_inputs
from taskkit_speech import sections
from taskkit_speech.audio import Clip
from taskkit_speech.facts import SUFFIXES
from taskkit_speech.listed import listed_in


def read_audio(source: str, options: sections.ReadAudio) -> list[Example]:
    """The recordings of an audio file, of a folder and the folders in it, or of a table with a column of paths.

    The id of each is its path as it was given, or as it is in the folder or the table. A table may have columns `start`
    and `end`, in seconds. Raises DataError for what does not exist, has no recording or cannot be read as a table;
    whether the audio itself can be read is for `read_clip` to find out.
    """

    def recording(name: str, path: Path) -> Example:
        return Example(name, Clip(path, max_seconds=options.max_seconds))

    def listed(table: TableFile) -> list[Example]:
        listing = sections.Table(table=str(table.path), path_column=options.column, max_seconds=options.max_seconds)
        rows = listed_in(table, listing, None)
        return [Example(row.id, row.clip, columns=cells) for row, cells in zip(rows, table.rows(), strict=True)]

    return read_inputs(
        source,
        "An audio file",
        SUFFIXES,
        recording,
        listed,
        delimiter=options.delimiter,
        encoding=options.encoding,
    )
