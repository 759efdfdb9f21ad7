"""When events were: numbers of seconds or of parts of them, or dates and times of ISO 8601, all in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from taskkit import DataError, TableFile
from taskkit_recsys.cells import first_refused, is_text, number_of_nulls

if TYPE_CHECKING:
    import pyarrow as pa

Unit = Literal["s", "ms", "us", "ns"]
SECONDS: Mapping[Unit, float] = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""How long one of each unit is."""
_ZONE = r"\d:\d\d.*(Z|[+-]\d\d(:?\d\d)?)$"
"""How a time ends that names its zone."""


def seconds(table: TableFile, name: str, unit: Unit) -> NDArray[np.float64]:
    """A column of times in seconds since 1970, UTC; times without a zone are in UTC too.

    Numbers count `unit`s; a date is its midnight. Raises DataError, by row, for what is neither.
    """
    import pyarrow as pa
    from pyarrow import compute

    column = table.arrow(name, "data.time_column")
    if is_text(column):
        column = compute.utf8_trim_whitespace(column)
    if number_of_nulls(column):
        raise _unreadable(table, name, column, int(compute.index(column.is_null(nan_is_null=True), True).as_py()))
    read = _numbers if _starts_as_number(column) else _dates
    try:
        values: NDArray[np.float64] = read(column, unit)
    except pa.ArrowException:
        raise _unreadable(table, name, column, first_refused(column, lambda part: read(part, unit))) from None
    if not np.isfinite(values).all():
        raise _unreadable(table, name, column, int(np.flatnonzero(~np.isfinite(values))[0]))
    return values


def moment(text: str, setting: str) -> float:
    """A date or time that a setting gives, in seconds since 1970, UTC; raises DataError when it is none."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(
            f"{setting}: {text!r} is no date. One of ISO 8601 was expected, such as 2024-06-30 or "
            "2024-06-30T12:00:00+02:00. Correct it."
        ) from None
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


def iso(value: float) -> str:
    """Seconds since 1970 as a time of ISO 8601 in UTC; as a number where no calendar reaches."""
    try:
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{value:g}"


def _starts_as_number(column: pa.ChunkedArray) -> bool:
    """Whether the first cell is a number; a column is of one kind throughout."""
    import pyarrow as pa

    if not is_text(column):
        return not pa.types.is_temporal(column.type)
    try:
        column.slice(0, 1).cast(pa.float64())
    except pa.ArrowException:
        return False
    return True


def _numbers(column: pa.ChunkedArray, unit: Unit) -> NDArray[np.float64]:
    import pyarrow as pa

    try:
        # Nanoseconds since 1970 do not fit into a double.
        values: NDArray[np.int64] = column.cast(pa.int64()).to_numpy()
    except pa.ArrowException:
        return np.asarray(column.cast(pa.float64()).to_numpy() * SECONDS[unit], dtype=np.float64)
    if unit == "s":
        return values.astype(np.float64)
    # Whole seconds and the rest apart, so that milliseconds stay what they are.
    per_second = round(1 / SECONDS[unit])
    return values // per_second + (values % per_second) / per_second


def _dates(column: pa.ChunkedArray, unit: Unit) -> NDArray[np.float64]:
    import pyarrow as pa
    from pyarrow import compute

    moments = column
    if is_text(column):
        zoned = compute.match_substring_regex(column, _ZONE)
        nothing = pa.scalar(None, column.type)
        with_zone = compute.if_else(zoned, column, nothing).cast(pa.timestamp("us", tz="UTC"))
        without = compute.if_else(zoned, nothing, column).cast(pa.timestamp("us"))
        moments = compute.coalesce(with_zone.cast(pa.int64()), without.cast(pa.int64()))
    else:
        moments = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
    return np.asarray(moments.to_numpy() / 1e6, dtype=np.float64)


def _unreadable(table: TableFile, name: str, column: pa.ChunkedArray, row: int) -> DataError:
    cell = column[row].as_py()
    return DataError(
        f"{table.where(row)}: column {name!r} is {'empty' if cell in (None, '') else repr(cell)}. A time was expected, "
        "like that of the first row: a number of seconds since 1970 (see data.time_unit), or an ISO date such as "
        "2024-06-30T12:00:00Z. Correct the cell, or take the row out."
    )
