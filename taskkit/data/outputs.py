"""Predictions as one table: a CSV, JSON lines or Parquet file that is there whole or not at all."""

from __future__ import annotations

import codecs
import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, time
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from taskkit.data.documents import find_document
from taskkit.data.separated import DELIMITERS, find_dialect
from taskkit.data.tables import decimal_points, table_suffix
from taskkit.errors import TaskkitError

if TYPE_CHECKING:
    import pyarrow as pa

OUTPUT_SUFFIXES = (".csv", ".jsonl", ".parquet")
"""How the names of files end that `write_rows` writes, in lower case."""
OURS = "taskkit_"
"""Before the name of what was predicted where the table that was read has a column of that name."""

Row = Mapping[str, Any]

BLOCK = 4096
"""So many rows are in memory at a time, and in a row group of a Parquet file."""


@dataclass(frozen=True)
class Form:
    """How a CSV file is written."""

    delimiter: str = ","
    mark: bool = False
    """Whether it begins with the mark of UTF-8, by which spreadsheets know the encoding."""
    said: str = ""
    """What a person should know of it; empty: it is as usual."""


def form_of(tables: Sequence[Path], delimiter: str | None = None, encoding: str | None = None) -> Form:
    """How to write predictions for tables that were read with these settings, so that the same program opens them.

    Cells are parted as those of the tables are, where all are CSV or TSV files alike. Where one has a mark, is not
    UTF-8 or is a workbook, a spreadsheet wrote it, and would take UTF-8 without a mark for something else.
    """
    delimiters, marked = set[str](), set[str]()
    for path in tables:
        suffix = table_suffix(path).removesuffix(".gz")
        if suffix not in (".csv", ".tsv"):
            delimiters.add(",")
            if suffix == ".xlsx":
                marked.add("a workbook")
            continue
        document = find_document(path, encoding)
        usual = "\t" if suffix == ".tsv" else ","
        found = find_dialect(document, usual, delimiter).delimiter
        delimiters.add("," if found == usual else found)
        if (name := codecs.lookup(document.encoding).name) != "utf-8":
            marked.add("UTF-8 with a mark" if name == "utf-8-sig" else document.encoding)
    common = delimiters.pop() if len(delimiters) == 1 else ","
    said = ""
    if common != "," or marked:
        parted = f"{DELIMITERS.get(common, repr(common))}s between cells"
        said = f"{parted}, in UTF-8{' with a mark' if marked else ''}"
        if others := sorted(marked - {"UTF-8 with a mark"}):
            said += f", where what was read is {' and '.join(others)}"
    return Form(common, bool(marked), said)


def check_output(path: Path) -> None:
    """Raise TaskkitError when `write_rows` cannot write such a file, before there is anything to write."""
    if path.suffix.lower() not in OUTPUT_SUFFIXES:
        expected = ", ".join(OUTPUT_SUFFIXES)
        raise TaskkitError(f"{path}: predictions cannot be written there. A file that ends in {expected} was expected.")
    if path.exists():
        raise TaskkitError(f"{path}: it is there already, and nothing is overwritten. Name another file, or remove it.")
    if not path.absolute().parent.is_dir():
        raise TaskkitError(f"{path}: there is no folder {path.absolute().parent}. Make it, or name another file.")


def beside(columns: Row, prediction: Row) -> Row:
    """A row with the columns that a table brought and what was predicted, by other names where two would be one."""
    return {**columns, **{f"{OURS}{name}" if name in columns else name: cell for name, cell in prediction.items()}}


def write_rows(path: Path, rows: Iterable[Row], form: Form | None = None) -> None:
    """Write rows of any columns into a file, of the kind that its name says; what is not there is empty.

    `rows` are gone through several times, so that they need not all be in memory: an iterator will not do. Lists and
    mappings are JSON in a CSV file, and in a Parquet file where they are not of one type. A CSV file has the
    `form`; where it is not of commas and a column of the rows has decimal commas, numbers of others have them too. The
    file appears when it is whole. Raises TaskkitError when it cannot be written.
    """
    check_output(path)
    writers: Mapping[str, Callable[[Path, Iterable[Row]], None]] = {
        ".csv": partial(_write_csv, form=form or Form()),
        ".jsonl": _write_json_lines,
        ".parquet": _write_parquet,
    }
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        writers[path.suffix.lower()](part, rows)
        part.replace(path)
    except OSError as error:
        why = error.strerror or error
        raise TaskkitError(f"{path}: it cannot be written: {why}. Make room, or name another file.") from error
    finally:
        with suppress(OSError):
            part.unlink()


def _write_csv(path: Path, rows: Iterable[Row], form: Form) -> None:
    names = _names(rows)
    commas = form.delimiter != "," and any(
        _has_decimal_commas([row.get(name) for row in block]) for block in _blocks(rows) for name in names
    )
    with path.open("w", encoding="utf-8-sig" if form.mark else "utf-8", newline="") as file:
        table = csv.writer(file, delimiter=form.delimiter, lineterminator="\n")
        table.writerow(names)
        table.writerows([_text(row.get(name), commas=commas) for name in names] for row in rows)
        _settle(file)


def _has_decimal_commas(cells: Sequence[Any]) -> bool:
    texts = [cell.strip() for cell in cells if isinstance(cell, str) and cell.strip()]
    return decimal_points(texts) != texts


def _write_json_lines(path: Path, rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{_json(row)}\n" for row in rows)
        _settle(file)


def _write_parquet(path: Path, rows: Iterable[Row]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    names = _names(rows)
    types = dict.fromkeys(names, pa.null())
    for block in _blocks(rows):
        types = {name: _common(kind, [row.get(name) for row in block]) for name, kind in types.items()}
    schema = pa.schema(list(types.items()))
    with parquet.ParquetWriter(path, schema) as writer:
        for block in _blocks(rows):
            cells = [_column([row.get(name) for row in block], kind) for name, kind in types.items()]
            writer.write_table(pa.table(cells, schema=schema))


def _common(kind: pa.DataType, cells: Sequence[Any]) -> pa.DataType:
    """The type of a column that had this one so far; text where there is none for all of its cells."""
    import pyarrow as pa

    try:
        schemas = [pa.schema([("", each)]) for each in (kind, pa.array(cells).type)]
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowException, OverflowError):
        return pa.string()


def _column(cells: Sequence[Any], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if pa.types.is_string(kind):
        return pa.array([None if cell is None else _text(cell) for cell in cells], kind)
    return pa.array(cells, kind)


def _blocks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    again = iter(rows)
    while block := list(islice(again, BLOCK)):
        yield block


def _names(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _text(cell: Any, *, commas: bool = False) -> str:
    if cell is None:
        return ""
    if commas and isinstance(cell, float):
        return _json(cell).replace(".", ",")
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, date | time):
        return cell.isoformat()
    return cell if isinstance(cell, str) else _json(cell)


def _json(cell: Any) -> str:
    return json.dumps(cell, ensure_ascii=False, default=str)


def _settle(file: TextIO) -> None:
    """Before it gets its name, a file is on the disk."""
    file.flush()
    os.fsync(file.fileno())
