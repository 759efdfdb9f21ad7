"""The files of GroupLens: their ratings and films as .dat or .csv, and where they can be downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from taskkit import DataError, TableFile, Url, read_table
from taskkit_recsys.events import Columns
from taskkit_recsys.source import TitleTable

if TYPE_CHECKING:
    import pyarrow as pa

LICENCE = "GroupLens: research use, no redistribution"
CITATION = "Harper and Konstan, The MovieLens Datasets: History and Context, 2015, doi:10.1145/2827872"
URL = "https://files.grouplens.org/datasets/movielens"
FOLDERS = {"ml-10m": "ml-10M100K"}
"""The folder inside a set's archive, where it is not called like the set."""


def archive(release: str) -> Url:
    """The archive of a set, whose md5 is all that GroupLens publish of it, beside it."""
    url = f"{URL}/{release}.zip"
    return Url(url, md5=f"{url}.md5", archive="zip", root=FOLDERS.get(release, release))


def read_dat(folder: Path) -> tuple[TableFile, Columns, TitleTable]:
    """The ratings and films of a set up to ml-10m: `::` between columns, and no header."""
    ratings = _dat(folder / "ratings.dat", ("userId", "movieId", "rating", "timestamp"))
    films = _dat(folder / "movies.dat", ("movieId", "title", "genres"))
    return ratings, COLUMNS, TitleTable(films, COLUMNS.item, "title")


def read_csv(folder: Path) -> tuple[TableFile, Columns, TitleTable]:
    """The ratings and films of a set from ml-20m on: CSV with a header."""
    films = read_table(folder / "movies.csv")
    return read_table(folder / "ratings.csv"), COLUMNS, TitleTable(films, COLUMNS.item, "title")


COLUMNS = Columns("userId", "movieId", "timestamp", "rating")


def separated(content: bytes, delimiter: str, names: Sequence[str] | None = None) -> pa.Table:
    """The text cells of a file without quotes; `names` are those of its columns where it has no header."""
    import pyarrow as pa
    from pyarrow import csv

    header = list(names) if names else content.partition(b"\n")[0].decode().rstrip("\r").split(delimiter)
    return csv.read_csv(
        BytesIO(content),
        csv.ReadOptions(
            column_names=list(names) if names else None,
            block_size=min(len(content), 2**30),
            use_threads=False,  # with them, pyarrow may abort the process when it ends
        ),
        csv.ParseOptions(delimiter=delimiter, quote_char=False),
        csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string())),
    )


def _dat(path: Path, names: Sequence[str]) -> TableFile:
    import pyarrow as pa

    content = path.read_bytes()
    if not content.strip():
        raise DataError(f"{path}: it is empty. Rows such as 1::1193::5::978300760 were expected. Replace the file.")
    try:
        content.decode()
    except UnicodeDecodeError:
        # As the films of ml-1m are.
        content = content.decode("latin-1").encode()
    try:
        # A column separator must be one byte for pyarrow; no title has a tab.
        return TableFile(path, separated(content.replace(b"::", b"\t"), "\t", names))
    except pa.ArrowException as error:
        raise DataError(
            f"{path}: it cannot be read: {str(error).partition(chr(10))[0]}. Rows of {len(names)} columns with :: "
            f"between them were expected: {', '.join(names)}. Replace the file."
        ) from None
