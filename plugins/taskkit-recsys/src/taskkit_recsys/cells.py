"""Cells of tables with millions of rows: which are empty, and which is the first that cannot be converted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def is_empty(text: str) -> bool:
    """Whether a cell holds nothing, or what a program wrote for nothing."""
    return text.strip().lower() in ("", "nan")


def is_text(column: pa.ChunkedArray) -> bool:
    """Whether the cells of a column are text."""
    import pyarrow as pa

    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def with_points(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of text in which commas part whole numbers from the rest, as `4,5`, with points instead.

    It stays as it is where one of its cells is no such number, or none has a comma, or `1,000` may be a thousand:
    where each comma comes before three digits.
    """
    from pyarrow import compute

    if not is_text(column):
        return column
    comma = compute.match_substring(column, ",")
    number = compute.match_substring_regex(column, r"^[+-]?\d+(,\d+)?$")
    thousands = compute.match_substring_regex(column, r"^[+-]?[1-9]\d{0,2},\d{3}$")
    clear = compute.and_(comma, compute.invert(thousands))
    if not compute.all(number).as_py() or not compute.any(clear).as_py():
        return column
    return compute.replace_substring(column, ",", ".")


def number_of_nulls(column: pa.ChunkedArray) -> int:
    """How many cells are null or not a number."""
    from pyarrow import compute

    return int(compute.sum(column.is_null(nan_is_null=True)).as_py() or 0)


def row_of_first(flags: pa.ChunkedArray) -> int | None:
    """The first row that is true; None: none is."""
    from pyarrow import compute

    row = int(compute.index(flags, True).as_py())
    return row if row >= 0 else None


def first_refused(column: pa.ChunkedArray, convert: Callable[[pa.ChunkedArray], object]) -> int:
    """The first row that `convert` refuses, of a column that it refuses, found by halving."""
    import pyarrow as pa

    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            convert(column.slice(low, middle - low))
        except pa.ArrowException:
            high = middle
        else:
            low = middle
    return low
