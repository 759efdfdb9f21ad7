"""Dates as shop systems write them, such as `15.11.2023 18:05` or `11/15/2023 6:05 PM`, made those of ISO 8601."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from taskkit import DataError, TableFile

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger("taskkit")

DateOrder = Literal["auto", "day_first", "month_first"]
MONTHS = 12
_YEAR_FIRST = r"^(\d{4})[./](\d\d)[./](\d\d)"
_WRITTEN = (
    r"^(?P<first>\d{1,2})(?P<mark>[./-])(?P<second>\d{1,2})[./-](?P<year>\d{4})"
    r"(?:,?[ T]+(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<seconds>\d\d(?:\.\d{1,6})?))?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?)?(?: ?(?P<zone>Z|[+-]\d\d:?\d\d))?$"
)


def as_iso(table: TableFile, name: str, column: pa.ChunkedArray, order: DateOrder) -> pa.ChunkedArray:
    """A column of text in which dates with points or their year last are those of ISO 8601; all else stays as it is.

    With `auto` the day is first where points part it from the month; else it is where some row has a number there that
    is no month, and the month is where one has such a number behind it. What was taken is said in a warning. Raises
    DataError where no row tells, or one tells the day first and another the month.
    """
    import pyarrow as pa
    from pyarrow import compute

    # One array, since text of several chunks may be too much for the offsets of the other kind.
    texts = column.cast(pa.large_string()).combine_chunks()
    texts = compute.replace_substring_regex(texts, _YEAR_FIRST, r"\1-\2-\3")
    found = compute.extract_regex(texts, _WRITTEN)
    rows = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False))
    if not len(rows):
        return pa.chunked_array([texts])
    first, second = _numbers(found, "first"), _numbers(found, "second")
    pointed = compute.equal(_part(found, "mark"), ".").to_numpy(zero_copy_only=False)
    if order == "auto":
        unclear = rows[~pointed[rows]]
        is_day_first = pointed | (_is_day_first(table, name, texts, unclear, first, second) if len(unclear) else False)
    else:
        is_day_first = np.full(len(texts), order == "day_first")
    day, month = np.where(is_day_first, first, second), np.where(is_day_first, second, first)
    iso = compute.if_else(found.is_valid(), _joined(found, day, month), texts)
    if order == "auto":
        row = int(rows[0])
        said = "the day first" if is_day_first[row] else "the month first"
        log.warning(
            "%s: column %r has dates such as %r in row %d, read with %s, as %s; data.date_order says another",
            *(table.path, name, texts[row].as_py(), row + 1, said, iso[row].as_py()),
        )
    return pa.chunked_array([iso])


def _is_day_first(
    table: TableFile,
    name: str,
    texts: pa.LargeStringArray,
    rows: NDArray[np.int64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
) -> bool:
    """Whether the day stands first in rows of which none has points."""
    by_day = rows[(first[rows] > MONTHS) & (second[rows] <= MONTHS)]
    by_month = rows[(second[rows] > MONTHS) & (first[rows] <= MONTHS)]
    if len(by_day) and len(by_month):
        one, other = int(by_day[0]), int(by_month[0])
        raise DataError(
            f"{table.where(one)}: column {name!r} is {texts[one].as_py()!r}, with the day first, and "
            f"{texts[other].as_py()!r} in row {other + 1}, with the month first. One order was expected. Write all "
            "dates alike, as 2024-06-30."
        )
    if not len(by_day) and not len(by_month):
        row = int(rows[0])
        raise DataError(
            f"{table.where(row)}: column {name!r} is {texts[row].as_py()!r}, and no row tells whether the day or the "
            "month stands first. Set data.date_order to day_first or month_first."
        )
    return bool(len(by_day))


def _joined(found: pa.StructArray, day: NDArray[np.int64], month: NDArray[np.int64]) -> pa.LargeStringArray:
    """Dates and times of ISO 8601, of the parts that were `found`; of an hour such as 13 PM, one that there is not."""
    import pyarrow as pa
    from pyarrow import compute

    def text(value: str) -> pa.LargeStringScalar:
        return pa.scalar(value, pa.large_string())

    def two_digits(numbers: NDArray[np.int64]) -> pa.LargeStringArray:
        return compute.utf8_lpad(pa.array(numbers).cast(pa.large_string()), 2, "0")

    half = compute.utf8_lower(_part(found, "half")).to_numpy(zero_copy_only=False)
    hour = _numbers(found, "hour")
    no_half = (half != "") & ((hour < 1) | (hour > 12))
    hour = np.where(half == "", hour, np.where(no_half, 99, hour % 12 + 12 * (half == "p")))
    join = compute.binary_join_element_wise
    dates = join(_part(found, "year"), two_digits(month), two_digits(day), text("-"))
    times = join(two_digits(hour), _part(found, "minute", "00"), _part(found, "seconds", "00"), text(":"))
    return join(join(dates, times, text("T")), _part(found, "zone"), text(""))


def _part(found: pa.StructArray, name: str, otherwise: str = "") -> pa.LargeStringArray:
    """A part of each date as text; `otherwise` where it is not there."""
    import pyarrow as pa
    from pyarrow import compute

    part = compute.struct_field(found, name).fill_null("")
    return compute.if_else(compute.equal(part, ""), pa.scalar(otherwise, part.type), part)


def _numbers(found: pa.StructArray, name: str) -> NDArray[np.int64]:
    """A part of each date as a number; 0 where it is not there."""
    import pyarrow as pa

    numbers: NDArray[np.int64] = _part(found, name, "0").cast(pa.int64()).to_numpy()
    return numbers
