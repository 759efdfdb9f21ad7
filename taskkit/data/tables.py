"""Tables that people bring: CSV, TSV, JSON lines, Parquet and Excel files, whose mistakes are explained by row."""

from __future__ import annotations

import logging
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from taskkit.contracts.facts import Split
from taskkit.contracts.settings import Problems
from taskkit.data.columnar import read_parquet
from taskkit.data.documents import is_encoding, read_document
from taskkit.data.files import read_json_lines
from taskkit.data.separated import no_row, read_separated
from taskkit.data.workbook import read_workbook
from taskkit.errors import DataError
from taskkit.wording import did_you_mean, without_stop

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger("taskkit")

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet", ".xlsx", ".csv.gz", ".tsv.gz", ".jsonl.gz")
"""How the names of files end that `read_table` reads, in lower case; ask by `name.lower().endswith`."""
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
SPLIT_COLUMNS = ("split", "set", "subset", "fold", "partition")
"""What people call a column of splits, in lower case."""
NAMED = 20
FEW = 6
"""So many columns are named in one message."""
FEW_CLASSES = 20
"""So many classes may be numbers however few examples they have."""
_POINTED = re.compile(r"[+-]?\d{1,300}(\.\d+)?", re.ASCII)
_WITH_COMMA = re.compile(r"[+-]?\d+(,\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)
MISSING = frozenset({"nan", "na", "n/a", "#n/a", "<na>", "null", "none"})
"""What programs write into a cell for what is missing, in lower case; people mean a word by some of them."""


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

    def rows(self) -> list[dict[str, Any]]:
        """All cells by row and by the names of the columns, as they are; None where one is empty."""
        rows: list[dict[str, Any]] = self.content.to_pylist()
        return rows

    def column(self, name: str, setting: str) -> list[Any]:
        """The cells of a column, None where one is empty; `setting` is the key of a recipe that named it.

        Raises DataError when there is no such column.
        """
        return [None if _is_empty(cell) else cell for cell in self.arrow(name, setting).to_pylist()]

    def arrow(self, name: str, setting: str) -> pa.ChunkedArray:
        """A column as it is, for tables of millions of rows; raises DataError when there is none."""
        self.check_columns({setting: name})
        return self.content.column(name)

    def check_columns(self, columns: Mapping[str, str | None]) -> None:
        """Raise one DataError for all columns that are not there, by the setting that names each; None: none.

        A column that no setting names stands for itself: `{"height": "height"}`.
        """
        missing = {setting: name for setting, name in columns.items() if name is not None and name not in self}
        if not missing:
            return
        names = self.content.column_names
        listed = ", ".join([_short(each) for each in names[:NAMED]] + ["…"] * (len(names) > NAMED))
        meant = "".join(dict.fromkeys(did_you_mean(name, names) for name in missing.values()))
        wanted = [repr(name) for name in missing.values()]
        few = len(wanted) <= FEW
        lacking = (
            f"has no column {' and no column '.join(wanted)}"
            if few
            else f"lacks {len(wanted)} columns: {_first(wanted)}"
        )
        if settings := [setting for setting, name in missing.items() if setting != name]:
            what = "one of them" if len(settings) == 1 else "those that are meant"
            do = f"Set {' and '.join(settings) if few else _first(settings)} to {what}."
        else:
            do = f"Name {'it' if len(wanted) == 1 else 'them'} so in the table's header."
        raise DataError(f"{self.path}: it {lacking}. It has {listed}.{meant if few else ''} {do}")

    def filled(self, name: str, setting: str, *, empty: bool = False) -> list[str]:
        """The cells of a column as text without blanks around it; raises DataError when one is empty.

        Where they may be `empty`, such a cell is a text of nothing.
        A warning counts those that are spelt as programs spell what is missing, such as `nan` or `NA`: they stay words.
        """
        cells = self.column(name, setting)
        blank = [row for row, cell in enumerate(cells) if cell is None]
        if blank and not empty:
            raise DataError(
                f"{self.where(blank[0])}: column {name!r} is empty or NaN{and_more(blank)}. Every row needs it. "
                "Fill the cells, or take the rows out."
            )
        texts = ["" if cell is None else str(cell).strip() for cell in cells]
        if missing := [text for text in texts if text.lower() in MISSING]:
            log.warning(
                "%s: %d cells of column %r are %s, as programs write what is missing. They are read as words: leave "
                "such cells empty where nothing is meant",
                *(self.path, len(missing), name, ", ".join(map(repr, dict.fromkeys(missing)))),
            )
        return texts

    def paths(self, name: str, setting: str, root: Path, *, empty: bool = False) -> list[str]:
        """The cells of a column as paths relative to a folder, as `filled`, of the files that are meant.

        Where there is none of a name as it stands, backslashes part folders, as in Windows, and letters with marks are
        written as one character or as several, as in macOS, if there is one of that name.
        """
        return [cell and _meant(cell, root) for cell in self.filled(name, setting, empty=empty)]

    def remark_on_numbers(self, name: str, labels: Sequence[str]) -> None:
        """Say in a warning where the labels of a column, all of them, look like measurements and not like classes.

        They are numbers of which some are not whole, with a point or a comma, or there are more than `FEW_CLASSES`
        different ones in fewer than ten times as many rows.
        """
        different = set(decimal_points(labels))
        if not different or not all(_POINTED.fullmatch(label) for label in different):
            return
        found = [label for label in labels if "," in label or not float(label).is_integer()]
        if found:
            kind = "commas" if "," in found[0] else "points"
            what = f"{len(found)} of {len(labels)} labels look like numbers with decimal {kind}, such as {found[0]!r}"
        elif len(different) > FEW_CLASSES and len(labels) < 10 * len(different):
            what = f"its {len(labels)} labels are all numbers"
        else:
            return
        log.warning(
            "%s: column %r: %s. Each of the %d different ones is a class of its own, without an order. To estimate "
            "numbers takes a task of regression; for classes make few of them, such as low and high",
            *(self.path, name, what, len(different)),
        )

    def renamed(self, columns: Mapping[str, str | None], rename: Callable[[str], str]) -> TableFile:
        """This table with other words in some columns, named as in `check_columns`, as pseudonyms of people.

        `rename` is asked once for each word, without blanks around it; empty cells stay empty. Raises DataError for
        columns that are not there.
        """
        import pyarrow as pa

        self.check_columns(columns)
        content = self.content
        for setting, name in columns.items():
            if name is None:
                continue
            cells = [None if cell is None else str(cell).strip() for cell in self.column(name, setting)]
            names = {cell: rename(cell) for cell in dict.fromkeys(cells) if cell is not None}
            renamed = pa.array([None if cell is None else names[cell] for cell in cells], pa.string())
            content = content.set_column(content.column_names.index(name), name, renamed)
        return TableFile(self.path, content)

    def find_splits(self, named: str | None, setting: str) -> list[Split] | None:
        """The splits of the rows: in the column that is `named`; else in one called as in `SPLIT_COLUMNS`, in any case.

        A column that nobody named is one of splits where its cells are names of splits, the training split among them;
        a warning says that it is used. None: there is none. Raises DataError for cells of a named one, or of one called
        `split`, that are no splits, and for several that differ.
        """
        if named or "split" in self:
            return self.splits(named or "split", setting)
        columns = [name for name in self.content.column_names if name.lower() in SPLIT_COLUMNS]
        found = {name: splits for name in columns if (splits := self._splits_of(name))}
        if not found:
            return None
        first, *others = found
        if any(found[other] != found[first] for other in others):
            raise DataError(
                f"{self.path}: its columns {', '.join(found)} say different splits. One was expected. Set {setting} to "
                "the one that counts."
            )
        log.warning("%s: its column %r says which split each row is in, and is used", self.path, first)
        return found[first]

    def _splits_of(self, name: str) -> list[Split] | None:
        """The splits in a column; None where it holds something else, or no training split."""
        splits = [SPLIT_NAMES.get(str(cell).strip().lower()) for cell in self.column(name, "")]
        known = [split for split in splits if split is not None]
        return known if len(known) == len(splits) and "train" in known else None

    def splits(self, name: str, setting: str) -> list[Split]:
        """A column of names of splits; raises DataError for what is none."""
        cells = self.filled(name, setting)
        for row, cell in enumerate(cells):
            if cell.lower() not in SPLIT_NAMES:
                raise DataError(
                    f"{self.where(row)}: {cell!r} is not a split. One of {', '.join(SPLIT_NAMES)} was expected."
                )
        return [SPLIT_NAMES[cell.lower()] for cell in cells]


def table_problems(delimiter: str | None, encoding: str | None) -> Problems:
    """What is wrong with two settings of these names that `read_table` is to be given, for a section's `problems`."""
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        yield "delimiter", f'{delimiter!r} parts no cells. One character was expected, such as ";" or "\\t".'
    if encoding is not None and not is_encoding(encoding):
        yield "encoding", f"{encoding!r} is no encoding that Python knows. One such as windows-1250 was expected."


def read_table(path: Path, delimiter: str | None = None, encoding: str | None = None) -> TableFile:
    """Read a table of any of the `TABLE_SUFFIXES`, chosen by its name; `.gz` stands for gzipped.

    `delimiter` insists on what stands between the cells of a CSV or TSV file, `encoding` on one of Python's for these
    and JSON lines; None: it is found. UTF-16 by its mark, and what is certainly Windows-1252, are read with a warning.
    Raises DataError, with the line where that is known, for what cannot be read, is in another encoding, has quotes
    that do not match or rows of another length, holds no row or names a column twice.
    """
    if wrong := [f"{path}: `{name}`: {problem}" for name, problem in table_problems(delimiter, encoding)]:
        raise DataError(wrong[0])
    suffix = table_suffix(path)
    if not suffix:
        expected = ", ".join(TABLE_SUFFIXES)
        found = "a folder, and no table" if path.is_dir() else "not a table by its name"
        raise DataError(f"{path}: {found}. A file that ends in {expected} was expected.")
    try:
        # A FIFO would be waited for, and a device may have no end.
        if not (path.is_dir() or stat.S_ISREG(path.stat().st_mode)):
            raise DataError(f"{path}: this is no regular file. A {suffix} file was expected. Name one.")
        content = _content(path, suffix.removesuffix(".gz"), delimiter, encoding)
    except FileNotFoundError:
        raise DataError(
            f"{path}: it cannot be read: there is no such file as {path.absolute()}. A relative path begins where "
            "taskkit was called. Correct the path."
        ) from None
    except OSError as error:
        raise DataError(
            f"{path}: it cannot be read: {without_stop(error.strerror or str(error))}. A {suffix} file was expected."
        ) from None
    doubled = [name for name, count in Counter(content.column_names).items() if count > 1]
    if doubled:
        raise DataError(f"{path}: it has {doubled[0]!r} as a column twice. Each needs a name of its own. Rename one.")
    if content.num_rows == 0:
        raise no_row(path)
    return TableFile(path, content)


def table_suffix(path: Path) -> str:
    """How the name of a table ends, one of `TABLE_SUFFIXES`; empty: it is no table by its name."""
    name = path.name.lower()
    return next((suffix for suffix in TABLE_SUFFIXES if name.endswith(suffix)), "")


def decimal_points(cells: Sequence[str]) -> list[str]:
    """Cells with points for decimal commas, where all are numbers and a comma of one cannot part thousands.

    Else as they are: `1,000` may be a thousand where each comma of a column comes before three digits.
    """
    clear = any("," in cell and not _THOUSANDS.fullmatch(cell) for cell in cells)
    if not clear or not all(_WITH_COMMA.fullmatch(cell) for cell in cells):
        return list(cells)
    return [cell.replace(",", ".") for cell in cells]


def and_more(things: Sequence[Any]) -> str:
    """Words for those after the first."""
    return f" (and {len(things) - 1} more)" if len(things) > 1 else ""


def _trimmed(content: pa.Table) -> pa.Table:
    """A table of several columns without what spreadsheets leave at its edges: empty rows, and columns of no name."""
    from pyarrow import compute

    unnamed = [number for number, name in enumerate(content.column_names) if not name]
    for number in reversed(unnamed):
        if content.column(number).null_count == len(content):
            content = content.remove_column(number)
    last = content.slice(max(len(content) - 1, 0))
    # In a table of one column, a line with nothing in it is a cell.
    if content.num_columns < 2 or any(column.null_count < len(last) for column in last.columns):
        return content
    filled = [compute.indices_nonzero(column.is_valid()) for column in content.columns]
    return content.slice(0, max((rows[-1].as_py() + 1 for rows in filled if len(rows)), default=0))


def _meant(name: str, root: Path) -> str:
    """The name of a file that is there and is meant by another system's way of writing; else with slashes."""
    if (name.isascii() and "\\" not in name) or os.path.lexists(root / name):
        return name
    slashed = name.replace("\\", "/")
    forms = (slashed, unicodedata.normalize("NFC", slashed), unicodedata.normalize("NFD", slashed))
    return next((form for form in forms if os.path.lexists(root / form)), slashed)


def _content(path: Path, suffix: str, delimiter: str | None, encoding: str | None) -> pa.Table:
    if suffix == ".parquet":
        return read_parquet(path)
    if suffix == ".xlsx":
        return _trimmed(read_workbook(path))
    if suffix == ".jsonl":
        return _json_lines(path, encoding)
    return _trimmed(read_separated(read_document(path, encoding), "\t" if suffix == ".tsv" else ",", delimiter))


def _json_lines(path: Path, encoding: str | None) -> pa.Table:
    import pyarrow as pa

    rows = [row for _, row in read_json_lines(path, encoding=encoding)]
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
        raise _unreadable(path, "JSON lines", ValueError(f"column {name!r}: {error}")) from None


def _is_whole(text: str) -> bool:
    """Whether none of its characters is only half of an escape."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


_JSON_KINDS = {bool: "true or false", int: "numbers", str: "texts", list: "lists", dict: "objects"}


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"


def _unreadable(path: Path, kind: str, error: Exception) -> DataError:
    reason = str(error).partition("\n")[0]
    return DataError(f"{path}: it cannot be read: {reason}. A {kind} file was expected.")


def _first(words: Sequence[str]) -> str:
    """The first two of many words, and how many follow."""
    return f"{', '.join(words[:2])} and {len(words) - 2} more"


def _is_empty(cell: Any) -> bool:
    return cell is None or cell != cell or (isinstance(cell, str) and not cell.strip())
