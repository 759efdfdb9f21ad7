"""Tables that people bring: CSV, TSV, JSON lines and Parquet files, whose mistakes are explained by row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskkit.errors import DataError
from taskkit.spec import Split
from taskkit.wording import did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""What people call the splits, in lower case."""


class TableFile:
    """A table with the file that it came from; cells of CSV and TSV files are text.

    `content` is the pyarrow.Table; an empty cell is null, or NaN where a Parquet column holds numbers.
    """

    def __init__(self, path: Path, content: pa.Table, first_line: int | None = None) -> None:
        self.path = path
        self.content = content
        self._first_line = first_line

    def __len__(self) -> int:
        return int(self.content.num_rows)

    def __contains__(self, name: str) -> bool:
        return name in self.content.column_names

    def where(self, row: int) -> str:
        """How messages name a row, counted from 0 here and from 1 there."""
        return f"{self.path}: row {row + 1}"

    def column(self, name: str, setting: str) -> list[Any]:
        """The cells of a column, None where one is empty; `setting` is the key of a recipe that named it.

        Raises DataError when there is no such column.
        """
        return [None if _is_empty(cell) else cell for cell in self.arrow(name, setting).to_pylist()]

    def arrow(self, name: str, setting: str) -> pa.ChunkedArray:
        """A column as it is, for tables of millions of rows; raises DataError when there is none."""
        if name not in self:
            names = self.content.column_names
            raise DataError(
                f"{self.path}: it has no column {name!r}. It has {', '.join(names)}.{did_you_mean(name, names)} "
                f"Set {setting} to one of them."
            )
        return self.content.column(name)

    def filled(self, name: str, setting: str) -> list[str]:
        """The cells of a column as text without blanks around it; raises DataError when one is empty."""
        cells = self.column(name, setting)
        if empty := [row for row, cell in enumerate(cells) if cell is None]:
            raise DataError(
                f"{self.where(empty[0])}: column {name!r} is empty{more(empty)}. Every row needs it. "
                "Fill the cells, or take the rows out."
            )
        return [str(cell).strip() for cell in cells]

    def splits(self, name: str, setting: str) -> list[Split]:
        """A column of names of splits; raises DataError for what is none."""
        cells = self.filled(name, setting)
        for row, cell in enumerate(cells):
            if cell.lower() not in SPLIT_NAMES:
                raise DataError(
                    f"{self.where(row)}: {cell!r} is not a split. One of {', '.join(SPLIT_NAMES)} was expected."
                )
        return [SPLIT_NAMES[cell.lower()] for cell in cells]


def read_table(path: Path) -> TableFile:
    """Read a CSV, TSV, JSON lines (.jsonl) or Parquet file, chosen by its suffix.

    Raises DataError, with the line where that is known, for what cannot be read, is not UTF-8, holds no row or names a
    column twice.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: not a table by its name. A file that ends in {', '.join(SUFFIXES)} was expected.")
    try:
        readers = {".parquet": _parquet, ".jsonl": _json_lines}
        content = readers[suffix](path) if suffix in readers else _separated(path, "\t" if suffix == ".tsv" else ",")
    except OSError as error:
        raise DataError(
            f"{path}: it cannot be read: {error.strerror or error}. A {suffix} file was expected."
        ) from None
    doubled = [name for name, count in Counter(content.column_names).items() if count > 1]
    if doubled:
        raise DataError(f"{path}: it has {doubled[0]!r} as a column twice. Each needs a name of its own. Rename one.")
    if content.num_rows == 0:
        raise DataError(f"{path}: it holds no row. At least one below its header was expected.")
    return TableFile(path, content)


def more(things: Sequence[Any]) -> str:
    """Words for those after the first."""
    return f" (and {len(things) - 1} more)" if len(things) > 1 else ""


def _parquet(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path).read()
    except pa.ArrowException as error:
        raise _unreadable(path, "Parquet", error) from None


def _separated(path: Path, delimiter: str) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    size = path.stat().st_size
    if size == 0:
        raise DataError(f"{path}: it is empty. A header and at least one row were expected.")
    # A line must fit into a block; a file of one huge line is read as one.
    options = csv.ReadOptions(block_size=min(max(size, 1), 2**30), use_threads=size > 2**24)
    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    try:
        header = _header(path, delimiter)
        # As text, so that a class "007" stays what it is.
        convert = csv.ConvertOptions(
            column_types={name: pa.string() for name in header}, strings_can_be_null=True, null_values=[""]
        )
        return csv.read_csv(path, options, parse, convert)
    except pa.ArrowException as error:
        _check_encoding(path)
        raise _unreadable(path, "TSV" if delimiter == "\t" else "CSV", error) from None
    except UnicodeDecodeError:
        _check_encoding(path)
        raise


def _header(path: Path, delimiter: str) -> list[str]:
    import csv

    csv.field_size_limit(2**31 - 1)
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file, delimiter=delimiter), [])


def _json_lines(path: Path) -> pa.Table:
    import pyarrow as pa

    rows = list(_objects(path))
    names = dict.fromkeys(name for row in rows for name in row)
    try:
        return pa.table({name: [row.get(name) for row in rows] for name in names})
    except pa.ArrowException as error:
        raise _unreadable(path, "JSON lines", error) from None


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(
                    f"{path}:{number}: not JSON: {error}. One JSON object on each line was expected. Correct the line."
                ) from None
            if not isinstance(row, dict):
                raise DataError(f'{path}:{number}: a JSON object such as {{"text": …}} was expected on each line.')
            yield row


def _check_encoding(path: Path) -> None:
    """Raise DataError when a file is not UTF-8, with the line."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path}:{number}: byte {error.start + 1} of the line is {line[error.start]:#04x}, which is not "
                    "UTF-8. The whole file was expected in UTF-8. Convert it, for instance with "
                    "`iconv -f latin1 -t utf-8`."
                ) from None


def _unreadable(path: Path, kind: str, error: Exception) -> DataError:
    reason = str(error).partition("\n")[0]
    return DataError(f"{path}: it cannot be read: {reason}. A {kind} file was expected.")


def _is_empty(cell: Any) -> bool:
    return cell is None or str(cell).strip().lower() in ("", "nan")
