"""Tables of cells with commas, semicolons, tabs or bars between them."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from io import StringIO, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from taskkit.data.documents import Document
from taskkit.errors import DataError

if TYPE_CHECKING:
    import _csv

    import pyarrow as pa

log = logging.getLogger("taskkit")

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
"""What may stand between cells, and what messages call it."""
SAMPLE = 2**20
"""Bytes at the beginning of a file by which its delimiter is found."""
ROWS = 100
"""So many rows of them at most."""
_SEP = re.compile(r"sep=(.)\r?\n?")
"""The first line by which Excel is told the delimiter."""


@dataclass(frozen=True)
class Dialect:
    """How the cells of a file are told apart."""

    delimiter: str
    quoted: bool
    """Whether quotes hold cells together."""
    skipped: int
    """Lines before the header."""
    is_found: bool
    """Whether the rows tell the delimiter, which is not the usual one and which nobody named."""


def read_separated(document: Document, usual: str, delimiter: str | None) -> pa.Table:
    """The cells of a file as text; `usual` stands between them by the file's name, `delimiter` if someone insists.

    Else, where the header has no `usual` one, the delimiter is the one that parts the header and the first rows into
    equally many cells, and a warning says so. Raises DataError for a delimiter that cannot be told, quotes that do not
    match and rows of another length, with the line.
    """
    import pyarrow as pa
    from pyarrow import csv as pyarrow_csv

    path = document.path
    if document.size == 0:
        raise DataError(f"{path}: it is empty. A header and at least one row were expected.")
    dialect = find_dialect(document, usual, delimiter)
    if dialect.is_found:
        log.warning(
            "%s: its cells are parted by %ss, not by %ss; `data.delimiter` insists on another",
            *(path, DELIMITERS[dialect.delimiter], DELIMITERS[usual]),
        )
    header = next((cells for _, cells in _rows(document, dialect) if cells), [])
    if not header:
        raise no_row(path)
    # A line must fit into a block; a file of one huge line is read as one.
    # With threads, pyarrow may abort the process when it ends.
    options = pyarrow_csv.ReadOptions(
        block_size=min(document.size, 2**30), use_threads=False, skip_rows=dialect.skipped
    )
    parse = pyarrow_csv.ParseOptions(
        delimiter=dialect.delimiter,
        quote_char='"' if dialect.quoted else False,
        newlines_in_values=dialect.quoted,
        # In a table of one column, a line with nothing in it is an empty cell.
        ignore_empty_lines=len(header) > 1,
    )
    # As text, so that a class "007" stays what it is.
    convert = pyarrow_csv.ConvertOptions(
        column_types={name: pa.string() for name in header}, strings_can_be_null=True, null_values=[""]
    )
    try:
        with document.open() as file:
            return pyarrow_csv.read_csv(file, options, parse, convert)
    except pa.ArrowException as error:
        _check_rows(document, dialect, len(header))
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path}: it cannot be read: {reason}. A CSV or TSV file was expected.") from None


def find_dialect(document: Document, usual: str, insisted: str | None) -> Dialect:
    """How the cells of a file are told apart, without a word; arguments and errors are those of `read_separated`."""
    sample, is_whole = _sample(document)
    told = _SEP.match(sample)
    found = None if insisted or told else _found(document, sample, is_whole, usual)
    delimiter = insisted or (told[1] if told else None) or found or usual
    dialect = Dialect(delimiter, quoted=True, skipped=1 if told else 0, is_found=found is not None)
    return replace(dialect, quoted=_is_quoted(document, dialect))


def _sample(document: Document) -> tuple[str, bool]:
    """Whole lines at the beginning of a file, if one of them ends there, and whether they are all of it."""
    with document.open() as file:
        start = file.read(SAMPLE + 1)
    is_whole = len(start) <= SAMPLE
    if not is_whole and b"\n" in start:
        start = start[: start.rindex(b"\n") + 1]
    return start.decode("utf-8-sig", errors="ignore"), is_whole


def _found(document: Document, sample: str, is_whole: bool, usual: str) -> str | None:
    """The delimiter by the header and the first rows, which must have equally many cells; None: the `usual` one."""
    widths = {each: _widths(sample, each, is_whole) for each in DELIMITERS}
    parting = [each for each in DELIMITERS if _header_width(sample, each) > 1]
    fitting = [each for each in parting if len(set(widths[each])) == 1]
    if usual in fitting or not parting:
        return None
    if len(fitting) > 1:
        names = " or ".join(f"{DELIMITERS[each]}s" for each in fitting)
        raise DataError(
            f"{document.path}: {names} may part its cells: either gives all rows as many cells as the header. Say "
            f"which by `data.delimiter`, or --delimiter to predict, as {fitting[0]!r}, or write the table anew with "
            f"{DELIMITERS[usual]}s."
        )
    if not fitting:
        return None if usual in parting or len(parting) > 1 else parting[0]
    return fitting[0]


def _widths(sample: str, delimiter: str, is_whole: bool) -> list[int]:
    """How many cells each of the first rows has, the header too; none where quotes do not match."""
    for quoted in (True, False) if delimiter == "\t" else (True,):
        with suppress(csv.Error):
            rows = _reader(StringIO(sample, newline=""), delimiter, quoted, strict=is_whole)
            return [len(cells) for cells in islice(filter(None, rows), ROWS)]
    return []


def _header_width(sample: str, delimiter: str) -> int:
    rows = _reader(StringIO(sample, newline=""), delimiter, quoted=True, strict=False)
    return len(next(filter(None, rows), []))


def _reader(lines: Iterable[str], delimiter: str, quoted: bool, strict: bool) -> _csv.Reader:
    csv.field_size_limit(2**31 - 1)
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    return csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=strict)


def _rows(document: Document, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """The line in which each row begins, and its cells; raises csv.Error where quotes do not match."""
    with TextIOWrapper(document.open(), encoding="utf-8-sig", newline="") as file:
        for _ in range(dialect.skipped):
            file.readline()
        rows = _reader(file, dialect.delimiter, dialect.quoted, strict=True)
        line = 1 + dialect.skipped
        for cells in rows:
            yield line, cells
            line = rows.line_num + 1 + dialect.skipped


def _is_quoted(document: Document, dialect: Dialect) -> bool:
    """Whether quotes hold cells together, as in every CSV file; between tabs, they may be a text's own.

    Raises DataError where they do not match and are not, since rows between two of them would become one cell.
    """
    if not _holds(document, b'"'):
        return dialect.delimiter != "\t"
    line = 0
    try:
        for line, _ in _rows(document, dialect):  # noqa: B007 - the last one is told
            pass
    except csv.Error as error:
        if dialect.delimiter == "\t":
            return False
        what = "never ends" if "end of data" in str(error) else "goes on after the quote that ends it"
        raise DataError(
            f"{document.path}: after line {line}, a cell in quotes {what}, where {_name(dialect)}s part cells. A quote "
            "in such a cell was expected to be doubled. Correct the quotes, or say by `data.delimiter` what else parts "
            "them."
        ) from None
    return True


def _holds(document: Document, byte: bytes) -> bool:
    with document.open() as file:
        return any(byte in block for block in iter(lambda: file.read(2**20), b""))


def _check_rows(document: Document, dialect: Dialect, width: int) -> None:
    """Raise DataError, with the line, for a row that is shorter or longer than the header, or when there is none."""
    rows = [(line, len(cells)) for line, cells in _rows(document, dialect) if cells][1:]
    if not rows:
        raise no_row(document.path)
    for line, found in rows:
        if found != width:
            raise DataError(
                f"{document.path}:{line}: the header has {width} cells, the row that begins here {found}. As many were "
                f"expected. Correct the row: a cell with a {_name(dialect)} or a line break in it needs quotes. Where "
                "something else parts the cells, say it by `data.delimiter`."
            )


def no_row(path: Path) -> DataError:
    """What to raise for a table without a row."""
    return DataError(f"{path}: it holds no row. At least one below its header was expected.")


def _name(dialect: Dialect) -> str:
    return DELIMITERS.get(dialect.delimiter, repr(dialect.delimiter))
