"""What a person hands to `taskkit predict`: an image file, a folder of them or a table that lists them."""

from __future__ import annotations

from taskkit import Example, TableFile, path_text, read_inputs
from taskkit_image import sections
from taskkit_image.layouts import present
from taskkit_image.opening import SUFFIXES


def read_images(source: str, options: sections.ReadImages) -> list[Example]:
    """The images of an image file, of a folder and the folders in it, or of a table with a column of paths.

    The id of each is its path as it was given, or as it is in the folder or the table. Raises DataError for what does
    not exist, has no image or cannot be read as a table; whether an image can be read is for `pixels` to find out.
    """

    def listed(rows: TableFile) -> list[Example]:
        names = rows.paths(options.column, "--column", rows.path.parent)
        files = present(rows, names, rows.path.parent, "Correct the table.")
        found = zip(names, files, rows.rows(), strict=True)
        return [Example(path_text(name), file, columns=cells) for name, file, cells in found]

    return read_inputs(
        source,
        "An image file",
        SUFFIXES,
        Example,
        listed,
        delimiter=options.delimiter,
        encoding=options.encoding,
    )
