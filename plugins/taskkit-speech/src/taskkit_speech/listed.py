"""Recordings that a table lists, a row each."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskkit import DataError, PseudonymKey, Split, TableFile, decimal_points, read_table
from taskkit_speech import sections
from taskkit_speech.audio import Clip
from taskkit_speech.normalise import NORMALISERS


@dataclass(frozen=True)
class Listed:
    """One row of a table."""

    where: str
    """The row, for messages."""
    file: str
    """The path of the recording, relative to the root, or its pseudonym."""
    clip: Clip
    target: str | None
    """The normalised transcript, the name of the class, or None where neither is asked for."""
    split: Split | None
    """None: it is for us to choose one."""
    speaker: str
    """Empty: not known; perhaps a pseudonym."""

    @property
    def id(self) -> str:
        """The file, and the span in it."""
        if self.clip.start is None and self.clip.end is None:
            return self.file
        end = "" if self.clip.end is None else f"{self.clip.end:g}"
        return f"{self.file}#{self.clip.start or 0:g}-{end}"


def read_listed(
    path: Path, config: sections.Table, column: str | None, key: PseudonymKey | None = None
) -> list[Listed]:
    """The rows of a table; `column` is `text_column`, `label_column` or None, the setting that names the targets'.

    With a `key` speakers and files have pseudonyms, by which messages call them too.

    Raises DataError for a table that cannot be read, columns that it lacks, paths and classes that are empty, splits
    and times that are none, and for a recording that is listed twice.
    """
    return listed_in(read_table(path, config.delimiter, config.encoding), config, column, key)


def listed_in(
    table: TableFile, config: sections.Table, column: str | None, key: PseudonymKey | None = None
) -> list[Listed]:
    """The same of a table that was read already."""
    root = root_of(table.path, config)
    files = table.paths(config.path_column, "data.path_column", root)
    if key is not None:
        speakers = _named(table, config.speaker_column, "speaker_column")
        table = table.renamed({"data.path_column": config.path_column, "data.speaker_column": speakers}, key.pseudonym)
    called = files if key is None else table.filled(config.path_column, "data.path_column")
    names = [Path(file).as_posix() for file in called]
    targets = _targets(table, config, column)
    starts, ends = (_seconds(table, getattr(config, name), name) for name in ("start_column", "end_column"))
    found = table.find_splits(config.split_column, "data.split_column")
    splits: Sequence[Split | None] = found or [None] * len(table)
    spoken = _optional(table, config.speaker_column, "speaker_column")
    listed = [
        Listed(
            table.where(row),
            names[row],
            Clip(root / _expanded(file), starts[row], ends[row], config.max_seconds, "" if key is None else names[row]),
            targets[row],
            splits[row],
            "" if spoken[row] is None else str(spoken[row]).strip(),
        )
        for row, file in enumerate(files)
    ]
    _check_once(listed)
    return listed


def root_of(table: Path, config: sections.Table) -> Path:
    """The folder that the paths in a table are relative to."""
    return Path(config.root).expanduser().absolute() if config.root else table.parent


def _expanded(file: str) -> str:
    return os.path.expanduser(file)  # noqa: PTH111 - Path.expanduser raises for a user who is not there


def _targets(table: TableFile, config: sections.Table, column: str | None) -> Sequence[str | None]:
    if column is None:
        return [None] * len(table)
    name, setting = getattr(config, column), f"data.{column}"
    if column == "label_column":
        labels = table.filled(name, setting)
        table.remark_on_numbers(name, labels)
        return labels
    return [_normalised(table.where(row), cell, config) for row, cell in enumerate(table.column(name, setting))]


def _normalised(where: str, cell: Any, config: sections.Table) -> str:
    try:
        # An empty transcript is a fault of one recording, which can be skipped, not of the table.
        return NORMALISERS[config.normaliser]("" if cell is None else str(cell), config.language)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


def _optional(table: TableFile, named: str | None, setting: str) -> Sequence[Any]:
    """A column that need not be there under its usual name."""
    name = _named(table, named, setting)
    return [None] * len(table) if name is None else table.column(name, f"data.{setting}")


def _named(table: TableFile, named: str | None, setting: str) -> str | None:
    """The column that is meant: the one that is named, else one of the usual name; None: there is none."""
    usual = setting.removesuffix("_column")
    return named or (usual if usual in table else None)


def _seconds(table: TableFile, named: str | None, setting: str) -> Sequence[float | None]:
    cells = _optional(table, named, setting)
    if cells and all(isinstance(cell, str | None) for cell in cells):
        points = iter(decimal_points([cell.strip() for cell in cells if cell is not None]))
        cells = [None if cell is None else next(points) for cell in cells]
    seconds: list[float | None] = []
    for row, cell in enumerate(cells):
        try:
            seconds.append(None if cell is None else _finite(cell))
        except (ValueError, TypeError):
            raise DataError(
                f"{table.where(row)}: {cell!r} is not a time. A number of seconds was expected, such as 12.5. Correct "
                f"the cell, or name another column in data.{setting}."
            ) from None
    return seconds


def _finite(cell: Any) -> float:
    seconds = float(cell)
    if not math.isfinite(seconds):
        raise ValueError
    return seconds


def _check_once(listed: Sequence[Listed]) -> None:
    first: dict[str, Listed] = {}
    for row in listed:
        if (other := first.setdefault(row.id, row)) is not row:
            raise DataError(
                f"{row.where}: {row.id} is there twice. Each recording was expected once, and {other.where} has it "
                "already. Take one of them out."
            )
