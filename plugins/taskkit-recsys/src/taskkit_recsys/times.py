"""When events were: numbers of seconds or of parts of them, or dates and times, all in UTC."""

from __future__ import annotations

import logging
import reprlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from taskkit import DataError, TableFile
from taskkit_recsys.cells import first_refused, is_text, number_of_nulls, with_points
from taskkit_recsys.dates import DateOrder, as_iso

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger("taskkit")

Unit = Literal["s", "ms", "us", "ns"]
TimeUnit = Literal["auto", "s", "ms", "us", "ns"]
SECONDS: Mapping[Unit, float] = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""How long one of each unit is."""
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC).timestamp()
"""Logs of what people clicked are not older."""
DAY = 86400
"""Seconds that the clock of a log may be fast."""
_ZONE = r"\d:\d\d.*(Z|[+-]\d\d(:?\d\d)?)$"
"""How a time ends that names its zone."""


def seconds(table: TableFile, name: str, unit: TimeUnit, order: DateOrder) -> NDArray[np.float64]:
    """A column of times in seconds since 1970, UTC; times without a zone are in UTC too.

    Numbers count `unit`s; with `auto`, the unit is the one in which they lie between 1990 and now, which is said where
    they are no seconds. Dates are those of ISO 8601, or have their year last, with the day or the month before it as
    `order` says; a date is its midnight. Raises DataError, by row, for what is neither, for a column of which some
    numbers lie there in one unit and some in another, and where it cannot be told which is the day. Warnings count
    times that are still to come, and those without a zone among others.
    """
    import pyarrow as pa
    from pyarrow import compute

    column = table.arrow(name, "data.time_column")
    if is_text(column):
        column = with_points(compute.utf8_trim_whitespace(column))
    if number_of_nulls(column):
        raise _unreadable(table, name, column, int(compute.index(column.is_null(nan_is_null=True), True).as_py()))
    are_numbers = _starts_as_number(column)
    if pa.types.is_boolean(column.type):
        raise _unreadable(table, name, column, 0)
    read, written = _numbers if are_numbers else _dates, column
    if is_text(column) and not are_numbers:
        column = as_iso(table, name, column, order)
    try:
        values: NDArray[np.float64] = read(column, "s")
    except pa.ArrowException:
        raise _unreadable(table, name, written, first_refused(column, lambda part: read(part, "s"))) from None
    if not np.isfinite(values).all():
        raise _unreadable(table, name, written, int(np.flatnonzero(~np.isfinite(values))[0]))
    if is_text(column) and not are_numbers:
        _warn_of_zones(table, name, column)
    if are_numbers and (counted := _unit(table, name, values, unit)) != "s":
        values = _numbers(column, counted)
    if are_numbers:
        _warn_of_dates(table, name, values)
    _warn_of_future(table, name, values)
    return values


def _unit(table: TableFile, name: str, numbers: NDArray[np.float64], unit: TimeUnit) -> Unit:
    """What numbers count; raises DataError when some lie between 1990 and now in one unit, and some in another."""
    latest = time.time() + DAY
    within = {each: (numbers * size > EARLIEST) & (numbers * size <= latest) for each, size in SECONDS.items()}
    found = [each for each in SECONDS if within[each].any()]
    if len(found) > 1:
        usual, odd = sorted(found, key=lambda each: -int(within[each].sum()))[:2]
        row = int(np.argmax(within[odd]))
        raise DataError(
            f"{table.where(row)}: column {name!r} is {numbers[row]:.0f}, a recent time in {odd}, as are "
            f"{within[odd].sum():,} in all; {within[usual].sum():,} others are such in {usual}. One unit was expected. "
            "Bring all times into it."
        )
    if unit != "auto":
        return unit
    if found and found != ["s"]:
        log.warning(
            "%s: column %r counts %s since 1970, by its numbers; data.time_unit says another",
            table.path,
            name,
            found[0],
        )
    return found[0] if found else "s"


def _warn_of_dates(table: TableFile, name: str, values: NDArray[np.float64]) -> None:
    """Say so where numbers look like dates in another form than seconds, as which they would be of one day in 1970."""
    whole = values[values == np.floor(values)]
    day, month = whole % 100, whole // 100 % 100
    days, months = np.floor(values), np.round(values % 1 * 100, 6)
    forms = {
        "years": (values == days) & (values >= 1900) & (values <= 2100),
        "days and months without a year": (days >= 1)
        & (days <= 31)
        & (months == np.floor(months))
        & (months >= 1)
        & (months <= 12)
        & (values != days),
        "days as a spreadsheet counts them": (values >= 25_569) & (values < 80_000),
        "dates written as 20231115": np.zeros(len(values), bool)
        if len(whole) < len(values)
        else (values >= 19_000_101) & (values <= 21_001_231) & (day >= 1) & (day <= 31) & (month >= 1) & (month <= 12),
    }
    for form, are in forms.items():
        if len(values) > 1 and are.all():
            log.warning(
                "%s: column %r is read as seconds since 1970, such as %s in row 1, but all of it looks like %s. If so, "
                "format the column as yyyy-mm-dd hh:mm:ss",
                *(table.path, name, iso(float(values[0])), form),
            )


def _warn_of_zones(table: TableFile, name: str, column: pa.ChunkedArray) -> None:
    """Say so where some times name their zone and others, which are then read as UTC, do not."""
    from pyarrow import compute

    zoned = compute.match_substring_regex(column, _ZONE)
    without = compute.sum(compute.invert(zoned)).as_py()
    if 0 < without < len(column):
        first, other = (int(compute.index(zoned, each).as_py()) for each in (False, True))
        log.warning(
            "%s: %d of %d times of column %r name no zone, such as %r in row %d, and are read as UTC; others name "
            "theirs, such as %r in row %d. If they are of another zone, events are out of order: write it in all rows",
            *(table.path, without, len(column), name, column[first].as_py(), first + 1),
            *(column[other].as_py(), other + 1),
        )


def _warn_of_future(table: TableFile, name: str, values: NDArray[np.float64]) -> None:
    later = np.flatnonzero(values > time.time() + DAY)
    if len(later):
        log.warning(
            "%s: %d of %d times of column %r are still to come, such as %s in row %d. Look at data.time_unit",
            *(table.path, len(later), len(values), name, iso(float(values[later[0]])), later[0] + 1),
        )


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
    like = ", like that of the first row" if row else ""
    whole = "" if row or cell in (None, "") else " Where all are written so, format the column as yyyy-mm-dd hh:mm:ss."
    return DataError(
        f"{table.where(row)}: column {name!r} is {'empty' if cell in (None, '') else reprlib.repr(cell)}. A time was "
        f"expected{like}: a number of seconds since 1970 (see data.time_unit), or a date such as 2024-06-30T12:00:00Z "
        f"or 30.6.2024 12:00 (see data.date_order). Correct the cell, or take the row out.{whole}"
    )
