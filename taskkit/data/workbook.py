"""Excel workbooks: one sheet as a table of text, read by python-calamine."""

from __future__ import annotations

import logging
import re
import zipfile
import zlib
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskkit.errors import DataError
from taskkit.wording import without_stop

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger("taskkit")

LARGEST = 2**30
"""Bytes that a workbook may hold once it is unpacked, 1 GiB; it is read in memory."""
NAMED = 5
"""So many cells are named in one message."""
_SHEET = re.compile(r"xl/worksheets/[^/]+\.xml")
_FORMULA = re.compile(rb"<c\b([^>]*)>\s*<f\b(?:[^>]*/>|[^>]*>[^<]*</f>)\s*(?:<v\s*/>|<v>\s*</v>)?\s*</c>")
"""A cell with a formula and without a value; a formula that came to an empty text has the type `str`."""
_NAME = re.compile(rb'\br="([A-Z]+[0-9]+)"')


def read_workbook(path: Path) -> pa.Table:
    """The only sheet of an .xlsx file that holds anything, its first row the header, its cells as text.

    A number is written as a CSV file would have it, so 1 and not 1.0; a date is that of ISO 8601. A formula is what it
    came to when the workbook was saved; a warning names those that nobody computed, which are empty.

    Raises DataError for what is no workbook, is too large, has several sheets or a column without a name, and where the
    reader is not installed; and OSError.
    """
    import pyarrow as pa

    rows = _rows(path)
    if formulas := _not_computed(path):
        log.warning(
            "%s: %d cells hold formulas that were never computed, such as %s, and are read as empty. Open the workbook "
            "in a spreadsheet and save it, or save the sheet as CSV",
            *(path, len(formulas), ", ".join(formulas[:NAMED])),
        )
    header = [_text(cell) for cell in rows[0]] if rows else []
    while header and header[-1] is None and not any(_text(row[len(header) - 1]) for row in rows):
        header.pop()
    unnamed = [number for number, name in enumerate(header, 1) if name is None]
    if not header or unnamed:
        where = f"column {unnamed[0]} has none" if unnamed else "it is empty"
        raise DataError(f"{path}: its first row must name its columns, and {where}. Write the names into it.")
    columns = [[_text(row[number]) for row in rows[1:]] for number in range(len(header))]
    cells = [pa.array(column, pa.string()) for column in columns]
    return pa.Table.from_arrays(cells, [str(name) for name in header])


def _rows(path: Path) -> list[list[Any]]:
    _check_size(path)
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError:
        raise DataError(
            f"{path}: an Excel workbook, and python-calamine, which reads such, is not installed. Install it with "
            "`pip install 'taskkit-ml[excel]'`, or save the sheet as CSV."
        ) from None
    try:
        book = CalamineWorkbook.from_path(str(path))
        sheets = {name: book.get_sheet_by_name(name).to_python() for name in book.sheet_names}
    except CalamineError as error:
        raise _unreadable(path, error) from None
    filled = {name: rows for name, rows in sheets.items() if rows}
    if len(filled) > 1:
        raise DataError(
            f"{path}: it has several sheets with cells: {', '.join(filled)}. One was expected. Save the one that is "
            "meant as a file of its own."
        )
    return next(iter(filled.values()), [])


def _unreadable(path: Path, error: Exception) -> DataError:
    why = without_stop(str(error))
    return DataError(f"{path}: it cannot be read: {why}. An Excel workbook was expected. Save it again.")


def _not_computed(path: Path) -> list[str]:
    """The cells with a formula of which no value is kept, as by programs that write workbooks and compute nothing."""
    try:
        with zipfile.ZipFile(path) as parts:
            sheets = [name for name in parts.namelist() if _SHEET.fullmatch(name)]
            # The library that reads cells does not tell such ones from empty ones.
            cells = [cell for name in sheets for cell in _FORMULA.findall(parts.read(name))]
    except (zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise _unreadable(path, error) from None
    names = [_NAME.search(attributes) for attributes in cells if b't="str"' not in attributes]
    return [name[1].decode() if name else "one" for name in names]


def _check_size(path: Path) -> None:
    """Raise DataError for what is no zip file, as each workbook is, or unpacks to more than `LARGEST`."""
    try:
        with zipfile.ZipFile(path) as parts:
            size = sum(part.file_size for part in parts.infolist())
    except zipfile.BadZipFile as error:
        raise _unreadable(path, error) from None
    if size > LARGEST:
        raise DataError(
            f"{path}: it holds {size / 2**30:.1f} GiB once it is unpacked, in memory. {LARGEST // 2**30} GiB at most "
            "was expected. Save the sheet as CSV."
        )


def _text(cell: Any) -> str | None:
    """A cell as a CSV file has it; None: it is empty."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        return str(cell.total_seconds())
    return str(cell) or None
