"""Predictions as one table: a CSV, JSON lines or Parquet file that is there whole or not at all."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date, time
from pathlib import Path
from typing import Any, TextIO

from taskkit.errors import TaskkitError

OUTPUT_SUFFIXES = (".csv", ".jsonl", ".parquet")
"""How the names of files end that `write_rows` writes, in lower case."""
OURS = "taskkit_"
"""Before the name of what was predicted where the table that was read has a column of that name."""

Row = Mapping[str, Any]


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


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write rows of any columns into a file, in the form that its name says; what is not there is empty.

    Lists and mappings are JSON in a CSV file, and in a Parquet file where they are not of one type. The file appears
    when it is whole. Raises TaskkitError when it cannot be written.
    """
    check_output(path)
    writers: Mapping[str, Callable[[Path, Sequence[Row]], None]] = {
        ".csv": _write_csv,
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


def _write_csv(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        names = _names(rows)
        table.writerow(names)
        table.writerows([_text(row.get(name)) for name in names] for row in rows)
        _settle(file)


def _write_json_lines(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{_json(row)}\n" for row in rows)
        _settle(file)


def _write_parquet(path: Path, rows: Sequence[Row]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    def column(cells: Sequence[Any]) -> pa.Array:
        try:
            return pa.array(cells)
        except (pa.ArrowException, OverflowError):
            return pa.array([None if cell is None else _text(cell) for cell in cells], pa.string())

    parquet.write_table(pa.table({name: column([row.get(name) for row in rows]) for name in _names(rows)}), path)


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _text(cell: Any) -> str:
    if cell is None:
        return ""
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
