"""What people hand to `taskkit predict`: a line of text, a file of lines, or a column of a table."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from taskkit import TABLE_SUFFIXES, DataError, Example, TableFile, TextLine, open_utf8, read_row, read_table, setting

log = logging.getLogger("taskkit")

LINES = ".txt"
DOCUMENTS = frozenset(
    [
        ".doc",
        ".docx",
        ".eml",
        ".htm",
        ".html",
        ".json",
        ".log",
        ".md",
        ".msg",
        ".odf",
        ".ods",
        ".odt",
        ".pages",
        ".pdf",
        ".ppt",
        ".pptx",
        ".rtf",
        ".xls",
        ".xlsm",
        ".xml",
        ".zip",
    ]
)
"""How names of files end that hold texts and are not read: a word that ends so is a path with a mistake in it."""
FILES = f"A file of one text a line ({LINES}) or a table ({', '.join(TABLE_SUFFIXES)})"


@dataclass
class ReadText:
    """Where the texts are in a table that is read to predict."""

    column: str | None = setting(None, "the table's column of texts; null: `text`, or its only column of text")
    pair_column: str | None = setting(
        None, "for pairs, the column of second texts; null: `pair`, or the second of its two"
    )
    delimiter: str | None = setting(None, "what stands between the cells of a CSV or TSV file; null: what is found")
    encoding: str | None = setting(None, "what a file of text is in, as windows-1250; null: what is certain")


def read_texts(source: str, options: ReadText, pairs: bool) -> list[Example]:
    """The examples, without targets, of a table, of a file of lines, or of the text that `source` itself is.

    The id of a text in a file is `FILE: row N` or `FILE: line N`. With `pairs`, a tab parts the two texts of a line.
    Raises DataError for a file that cannot be read, is of another kind or does not exist, and for an empty text.
    """
    path = Path(source)
    is_table = path.name.lower().endswith(TABLE_SUFFIXES)
    known = is_table or path.suffix.lower() == LINES
    is_line = isinstance(source, TextLine)
    is_file = not is_line and _is_file(path)
    if is_file and is_table:
        return _of_table(read_table(path, options.delimiter, options.encoding), options, pairs)
    if is_file and not known:
        raise DataError(f"{source}: its name does not say what is in it. {FILES} was expected. Rename it.")
    named = known or path.suffix.lower() in DOCUMENTS
    if named and not is_file and not is_line and len(source.split()) == 1:
        raise DataError(
            f"{source}: there is no such file as {path.absolute()}. {FILES} was expected. Correct the path."
        )
    _refuse_columns(source if is_file else repr(source[:60]), options)
    if is_file:
        return _of_lines(path, pairs, options.encoding)
    if options.encoding is not None:
        raise DataError(
            f"--encoding={options.encoding}: {source[:60]!r} is no file, whose bytes could be in one. Leave it out."
        )
    return [Example(source, _input(source, pairs, where=repr(source[:60])))]


def _refuse_columns(where: str, options: ReadText) -> None:
    """Raise DataError for options that only a table has a use for."""
    given = {
        "--column": options.column,
        "--pair-column": options.pair_column,
        "--delimiter": options.delimiter,
    }
    for key, name in given.items():
        if name is not None:
            raise DataError(
                f"{key}={name}: {where} has no columns. A table ({', '.join(TABLE_SUFFIXES)}) was expected. "
                f"Leave {key} out."
            )


def _of_table(table: TableFile, options: ReadText, pairs: bool) -> list[Example]:
    columns = _columns(table, options, pairs)
    texts = zip(*(table.filled(name, key, empty=True) for name, key in columns), strict=True)
    names = [name for name, _ in columns]
    return [
        read_row(table.where(row), cells, partial(_filled, table.where(row), names, given))
        for row, (given, cells) in enumerate(zip(texts, table.rows(), strict=True))
    ]


def _filled(where: str, names: Sequence[str], texts: tuple[str, ...]) -> str | tuple[str, ...]:
    """The text of a row, or both of a pair; raises DataError for an empty cell."""
    for name, text in zip(names, texts, strict=True):
        if not text:
            raise DataError(f"{where}: column {name!r} is empty or NaN. Fill the cell, or take the row out.")
    return texts[0] if len(texts) == 1 else texts


def _columns(table: TableFile, options: ReadText, pairs: bool) -> list[tuple[str, str]]:
    """The column of texts and, for pairs, that of the second ones, each with the option that names it."""
    wanted = {"--column": (options.column, "text")}
    if pairs:
        wanted["--pair-column"] = (options.pair_column, "pair")
    elif options.pair_column is not None:
        raise DataError(
            f"--pair-column={options.pair_column}: this model reads single texts. A column of second texts is only for "
            "one that was trained on pairs. Leave it out."
        )
    names = {key: named or usual for key, (named, usual) in wanted.items()}
    if not any(named or usual in table for named, usual in wanted.values()):
        there = [field.name for field in table.content.schema if str(field.type).endswith("string")]
        if len(there) != len(wanted):
            raise DataError(
                f"{table.path}: it has the columns {', '.join(table.content.column_names)}. Which of them to read is "
                f"not clear. Say it with {' and '.join(f'{key} NAME' for key in wanted)}."
            )
        names = dict(zip(wanted, there, strict=True))
    return [(name, key) for key, name in names.items()]


def _of_lines(path: Path, pairs: bool, encoding: str | None) -> list[Example]:
    examples, blank = [], []
    with open_utf8(path, encoding) as file:
        for number, line in enumerate(file, 1):
            where = f"{path}: line {number}"
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            if text.strip():
                examples.append(Example(where, _input(text, pairs, where)))
            else:
                blank.append(number)
    if not examples:
        raise DataError(f"{path}: it holds no text. A text on each line was expected.")
    if blank:
        found = len(blank) + len(examples)
        log.warning(
            "%s: %d of %d lines are blank and left out, the first is line %d", path, len(blank), found, blank[0]
        )
    return examples


def _input(text: str, pairs: bool, where: str) -> str | tuple[str, str]:
    if not pairs:
        if not text.strip():
            raise DataError(f"{where}: the text is empty. Something to read was expected. Leave it out.")
        return text.strip()
    parts = [part.strip() for part in text.strip("\r\n").split("\t")]
    if len(parts) != 2 or not all(parts):
        raise DataError(
            f"{where}: this model reads pairs of texts, and here {sum(map(bool, parts))} is given. "
            "Two texts with a tab between them were expected."
        )
    return parts[0], parts[1]


def _is_file(path: Path) -> bool:
    """Whether there is such a file; a long text is no path."""
    with suppress(OSError):
        return path.is_file()
    return False
