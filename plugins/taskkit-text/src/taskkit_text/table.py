"""Your own labelled texts: a row each of a CSV, TSV, JSON lines or Parquet file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskkit import (
    DataError,
    DataModule,
    Fact,
    Origin,
    Prepared,
    PseudonymKey,
    Split,
    TableFile,
    decimal_points,
    file_sha256,
    read_table,
)
from taskkit_text import sections
from taskkit_text.examples import By, Labelled, fingerprint, placed
from taskkit_text.prepared import prepared

FEW = 20
"""Fewer rows than these say nothing about whether a column holds classes."""
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf", re.ASCII | re.IGNORECASE)
"""How floats are written; Python reads `1_0` and `infinity` as such too."""


@dataclass(frozen=True)
class Columns:
    """Which column is what."""

    text: str
    pair: str | None
    label: str
    split: str | None = None
    id: str | None = None
    author: str | None = None

    @property
    def by(self) -> By:
        """What decides the splits that are not there."""
        return "author" if self.author else "id" if self.id else "text"

    @property
    def of_people(self) -> Mapping[str, str | None]:
        """Those that may name people, by their settings."""
        return {"data.id_column": self.id, "data.author_column": self.author}


class Table(DataModule[sections.Table]):
    """Labelled texts of one file, or of one for each split.

    A split that is not there is taken from the training texts by a hash of each text, or of its id or its author, so
    that a text never moves to another split when others come or go. With `pseudonymise` ids and authors are pseudonyms
    before anything else happens to them.
    """

    def prepare(self, target: type[Fact]) -> Prepared:
        """Read the files, and choose the splits that they leave open; raises DataError."""
        config = self.config
        columns = Columns(
            config.text_column,
            config.pair_column,
            config.label_column,
            config.split_column,
            config.id_column,
            config.author_column,
        )
        first: Split | None = "train" if config.val_file or config.test_file else None
        named = {first: config.file, "val": config.val_file, "test": config.test_file}
        files = {split: Path(name).expanduser() for split, name in named.items() if name}
        key = PseudonymKey.of(config)
        tables = {split: read_table(path, config.delimiter, config.encoding) for split, path in files.items()}
        if key is not None:
            tables = {split: table.renamed(columns.of_people, key.pseudonym) for split, table in tables.items()}
        names = next(filter(None, (class_names(table, columns.label) for table in tables.values())), ())
        found = [row for split, table in tables.items() for row in read_rows(table, columns, split)]
        rows = placed(found, config.val_share, config.test_share, by=columns.by)
        origins = tuple(Origin("text.table", str(path), file_sha256(path)) for path in files.values())
        splits = how_split(found, config.val_share, config.test_share, columns)
        return prepared(rows, f"table-{fingerprint(rows)}", origins, {"splits": splits}, names)


def read_rows(table: TableFile, columns: Columns, split: Split | None) -> list[Labelled]:
    """The rows of a table, all in a split when that is given, else in that which a column names, if there is one.

    Raises DataError for columns that are not there or do not hold texts and classes, and, with the row, for cells.
    """
    table.check_columns(
        {
            "data.text_column": columns.text,
            "data.pair_column": columns.pair,
            "data.label_column": columns.label,
            "data.split_column": columns.split if split is None else None,
            **columns.of_people,
        }
    )
    texts: Sequence[Any] = texts_of(table, columns.text, "data.text_column")
    if columns.pair is not None:
        texts = list(zip(texts, texts_of(table, columns.pair, "data.pair_column"), strict=True))
    labels = labels_of(table, columns.label)
    found = table.find_splits(columns.split, "data.split_column") if split is None else None
    splits: Sequence[Split | None] = found or [split] * len(table)
    ids = [f"row {row + 1}" for row in range(len(table))] if columns.id is None else ids_of(table, columns.id)
    authors = authors_of(table, columns.author)
    wheres = map(table.where, range(len(table)))
    return [Labelled(*of_row) for of_row in zip(ids, texts, labels, splits, wheres, authors, strict=True)]


def texts_of(table: TableFile, name: str, setting: str) -> list[str]:
    """A column of texts; raises DataError when it holds something else."""
    kind = _kind(table, name, setting)
    if not kind.endswith("string") and kind != "null":
        raise DataError(f"{table.path}: column {name!r} holds {kind}, not text. Set {setting} to a column of texts.")
    return table.filled(name, setting)


def labels_of(table: TableFile, name: str) -> list[str]:
    """A column of classes as text; numbers must be whole. Raises DataError for what cannot be one class."""
    setting = "data.label_column"
    kind = _kind(table, name, setting)
    labels = table.filled(name, setting)
    if kind in ("float", "double", "halffloat") or kind.endswith("string"):
        labels = _whole(table, name, labels)
    elif not kind.startswith(("int", "uint", "bool")):
        raise DataError(
            f"{table.path}: column {name!r} holds {kind}. One class a row was expected: a name or a whole number. Set "
            f"{setting} to a column of classes."
        )
    if known := class_names(table, name):
        labels = [_named(table, row, name, label, known) for row, label in enumerate(labels)]
    if len(labels) > FEW and len(set(labels)) > len(labels) / 2:
        raise DataError(
            f"{table.path}: column {name!r} has {len(set(labels))} different classes in {len(labels)} rows. Several "
            f"texts of each class were expected. Set {setting} to the column of classes."
        )
    table.remark_on_numbers(name, labels)
    return labels


def ids_of(table: TableFile, name: str) -> list[str]:
    """A column of ids; raises DataError when one is there twice."""
    ids = table.filled(name, "data.id_column")
    first: dict[str, int] = {}
    for row, cell in enumerate(ids):
        if first.setdefault(cell, row) != row:
            raise DataError(
                f"{table.where(row)}: its id {cell!r} is that of row {first[cell] + 1} too. Each row needs an id of "
                "its own. Correct it, or set data.id_column to null."
            )
    return ids


def authors_of(table: TableFile, name: str | None) -> list[str | None]:
    """Who wrote the text of each row, None where the cell is empty."""
    cells = [None] * len(table) if name is None else table.column(name, "data.author_column")
    return [None if cell is None else str(cell).strip() for cell in cells]


def class_names(table: TableFile, name: str) -> tuple[str, ...]:
    """The names of the classes that numbers stand for, as the `datasets` library writes them into Parquet files.

    Raises DataError where what is written there is no such thing.
    """
    written = (table.content.schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        feature = json.loads(written).get("info", {}).get("features", {}).get(name) or {}
        names = feature.get("names") or ()
    except (ValueError, AttributeError, RecursionError) as error:
        raise _damaged_names(table, str(error)) from None
    if isinstance(names, str) or not all(isinstance(each, str) for each in names):
        raise _damaged_names(table, f"the classes of {name!r} are {names!r:.60}")
    return tuple(names)


def how_split(found: Sequence[Labelled], val: float, test: float, columns: Columns) -> str:
    """How rows came into their splits, in words."""
    there = {row.split for row in found}
    given = [f"{split} as the data say" for split in ("val", "test") if split in there]
    column = columns.author or columns.id
    by = "text" if column is None else f"column {column!r}"
    chosen = [
        f"{split} {share} of the rest by a hash of the {by}"
        for split, share in (("val", val), ("test", test))
        if split not in there
    ]
    return ", ".join([*given, *chosen])


def _kind(table: TableFile, name: str, setting: str) -> str:
    """The type of a column in pyarrow's words; that of the words themselves where it holds numbers of words."""
    kind = table.arrow(name, setting).type
    return str(getattr(kind, "value_type", kind) if str(kind).startswith("dictionary") else kind)


def _whole(table: TableFile, name: str, labels: list[str]) -> list[str]:
    """Whole numbers, where all labels are, without a point, so that `1.0` and `1` are one class; else as they are.

    Commas may be decimal ones. Refuses a column of numbers of which some are not whole, or one that holds little else.
    """
    pointed = decimal_points(labels)
    numbers = {label: float(label) for label in set(pointed) if NUMBER.fullmatch(label)}
    broken = [
        row for row, label in enumerate(pointed) if not label.isdigit() and not numbers.get(label, 0.0).is_integer()
    ]
    are_numbers = all(label in numbers for label in pointed)
    if broken and (are_numbers or len(broken) > len(labels) / 2):
        raise DataError(
            f"{table.where(broken[0])}: column {name!r} is {labels[broken[0]]:.60}, a number that is not whole. Labels "
            "must be classes. Set data.label_column to a column of classes, or make classes of the numbers: low, high."
        )
    return [label if label.isdigit() else str(int(numbers[label])) for label in pointed] if are_numbers else labels


def _damaged_names(table: TableFile, why: str) -> DataError:
    return DataError(
        f"{table.path}: its metadata under `huggingface` cannot be read: {why}. What the `datasets` library writes "
        "there was expected. Write the file anew without it: then the numbers themselves are the classes."
    )


def _named(table: TableFile, row: int, name: str, label: str, names: Sequence[str]) -> str:
    if not (label.isdecimal() and int(label) < len(names)):
        raise DataError(
            f"{table.where(row)}: column {name!r} is {label}, which is the number of none of its {len(names)} classes; "
            "contests hide the classes of their test split in this way. Take another split."
        )
    return names[int(label)]
