"""Tables that people bring: CSV, TSV, JSON lines and Parquet files, whose mistakes are explained by row."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from taskkit.contracts.facts import Split
from taskkit.data.files import not_utf8, read_json_lines
from taskkit.errors import DataError
from taskkit.wording import did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
"""How the names of files end that `read_table` reads, in lower case."""
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
NAMED = 20
"""So many columns are named in one message."""


class TableFile:
    """A table with the file that it came from; cells of CSV and TSV files are text.

    `content` is the pyarrow.Table; an empty cell is null, or NaN where a Parquet column holds numbers.
    """

    def __init__(self, path: Path, content: pa.Table) -> None:
        self.path = path
        self.content = content

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
            listed = ", ".join([_short(each) for each in names[:NAMED]] + ["…"] * (len(names) > NAMED))
            raise DataError(
                f"{self.path}: it has no column {name!r}. It has {listed}.{did_you_mean(name, names)} "
                f"Set {setting} to one of them."
            )
        return self.content.column(name)

    def filled(self, name: str, setting: str) -> list[str]:
        """The cells of a column as text without blanks around it; raises DataError when one is empty."""
        cells = self.column(name, setting)
        if empty := [row for row, cell in enumerate(cells) if cell is None]:
            raise DataError(
                f"{self.where(empty[0])}: column {name!r} is empty or NaN{and_more(empty)}. Every row needs it. "
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

    Raises DataError, with the line where that is known, for what cannot be read, is not UTF-8, has quotes that do not
    match or rows of another length, holds no row or names a column twice.
    """
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        expected = ", ".join(TABLE_SUFFIXES)
        raise DataError(f"{path}: not a table by its name. A file that ends in {expected} was expected.")
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
        raise _no_row(path)
    return TableFile(path, content)


def and_more(things: Sequence[Any]) -> str:
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
    from pyarrow import csv as pyarrow_csv

    size = path.stat().st_size
    if size == 0:
        raise DataError(f"{path}: it is empty. A header and at least one row were expected.")
    try:
        quoted = _is_quoted(path, delimiter)
        header = next((cells for _, cells in _cells(path, delimiter, quoted) if cells), [])
    except UnicodeDecodeError:
        _check_encoding(path)
        raise
    _check_delimiter(path, delimiter, header)
    # A line must fit into a block; a file of one huge line is read as one.
    # With threads, pyarrow may abort the process when it ends.
    options = pyarrow_csv.ReadOptions(block_size=min(size, 2**30), use_threads=False)
    parse = pyarrow_csv.ParseOptions(
        delimiter=delimiter,
        quote_char='"' if quoted else False,
        newlines_in_values=quoted,
        # In a table of one column, a line with nothing in it is an empty cell.
        ignore_empty_lines=len(header) > 1,
    )
    # As text, so that a class "007" stays what it is.
    convert = pyarrow_csv.ConvertOptions(
        column_types={name: pa.string() for name in header}, strings_can_be_null=True, null_values=[""]
    )
    try:
        return pyarrow_csv.read_csv(path, options, parse, convert)
    except pa.ArrowException as error:
        _check_encoding(path)
        _check_rows(path, delimiter, quoted, len(header))
        raise _unreadable(path, "TSV" if delimiter == "\t" else "CSV", error) from None


def _cells(path: Path, delimiter: str, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """The line in which each row begins, and its cells; raises csv.Error where quotes do not match."""
    csv.field_size_limit(2**31 - 1)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(
            file, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, strict=True
        )
        line = 1
        for cells in rows:
            yield line, cells
            line = rows.line_num + 1


def _is_quoted(path: Path, delimiter: str) -> bool:
    """Whether quotes hold cells together, as in every CSV file; those of a TSV file may be a text's own.

    Raises DataError for a CSV file whose quotes do not match, since rows between two of them would become one cell.
    """
    if not _holds(path, b'"'):
        return delimiter == ","
    line = 0
    try:
        for line, _ in _cells(path, delimiter, quoted=True):  # noqa: B007 - the last one is told
            pass
    except csv.Error as error:
        if delimiter == "\t":
            return False
        what = "never ends" if "end of data" in str(error) else "goes on after the quote that ends it"
        raise DataError(
            f"{path}: after line {line}, a cell in quotes {what}. A quote in such a cell was expected to be doubled. "
            "Correct the quotes."
        ) from None
    return True


def _holds(path: Path, byte: bytes) -> bool:
    with path.open("rb") as file:
        return any(byte in block for block in iter(lambda: file.read(2**20), b""))


def _check_delimiter(path: Path, delimiter: str, header: Sequence[str]) -> None:
    """Raise DataError when a header of one cell seems to be separated by something else."""
    others = [other for other in ";\t," if other != delimiter and other in "".join(header)]
    if len(header) == 1 and others:
        raise DataError(
            f"{path}: its header is one cell, {_short(header[0])!r}, with {others[0]!r} in it. Commas between cells "
            "were expected in a .csv file, and tabs in a .tsv file. Convert or rename it."
        )


def _check_rows(path: Path, delimiter: str, quoted: bool, width: int) -> None:
    """Raise DataError, with the line, for a row that is shorter or longer than the header, or when there is none."""
    rows = [(line, cells) for line, cells in _cells(path, delimiter, quoted) if cells][1:]
    if not rows:
        raise _no_row(path)
    for line, cells in rows:
        if len(cells) != width:
            between = "tab" if delimiter == "\t" else "comma"
            raise DataError(
                f"{path}:{line}: the header has {width} cells, the row that begins here {len(cells)}. As many were "
                f"expected. Correct the row: a cell with a {between} or a line break in it needs quotes."
            )


def _json_lines(path: Path) -> pa.Table:
    import pyarrow as pa

    rows = [row for _, row in read_json_lines(path)]
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _json_column(path, name, [row.get(name) for row in rows]) for name in names})


def _json_column(path: Path, name: str, cells: Sequence[Any]) -> pa.Array:
    """A column of JSON values; raises DataError, with the row, when they are not of one kind."""
    import pyarrow as pa

    try:
        return pa.array(cells)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError) as error:
        kinds = [{float: int}.get(type(cell), type(cell)) for cell in cells]
        usual = next(kind for kind in kinds if kind is not NoneType)
        for row, (kind, cell) in enumerate(zip(kinds, cells, strict=True)):
            if kind not in (usual, NoneType) or (kind is str and not _is_whole(cell)):
                expected = "Whole characters" if kind is usual else f"As in the rows before, {_JSON_KINDS[usual]}"
                raise DataError(
                    f"{path}: row {row + 1}: {name!r} is {_short(ascii(cell))}. {expected} were expected. "
                    "Correct the row."
                ) from None
        raise _unreadable(path, "JSON lines", error) from None


def _is_whole(text: str) -> bool:
    """Whether none of its characters is only half of an escape."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


_JSON_KINDS = {bool: "true or false", int: "numbers", str: "texts", list: "lists", dict: "objects"}


def _check_encoding(path: Path) -> None:
    """Raise DataError when a file is not UTF-8, with the line."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                raise not_utf8(f"{path}:{number}", error) from None


def _no_row(path: Path) -> DataError:
    return DataError(f"{path}: it holds no row. At least one below its header was expected.")


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"


def _unreadable(path: Path, kind: str, error: Exception) -> DataError:
    reason = str(error).partition("\n")[0]
    return DataError(f"{path}: it cannot be read: {reason}. A {kind} file was expected.")


def _is_empty(cell: Any) -> bool:
    return cell is None or str(cell).strip().lower() in ("", "nan")
