"""A log of events as arrays: who took which item when, and how it was rated; everything here is vectorised."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from taskkit import DataError, TableFile, and_more
from taskkit_recsys import times
from taskkit_recsys.cells import first_refused, is_empty, is_text, number_of_nulls, row_of_first, with_points
from taskkit_recsys.dates import DateOrder

if TYPE_CHECKING:
    import pyarrow as pa

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Columns:
    """What the columns of a table of events are called."""

    user: str
    item: str
    time: str
    rating: str | None
    """None: ratings are not read."""


@dataclass(frozen=True)
class Events:
    """Events in parallel arrays; users and items are numbers into the sequences of their ids."""

    users: Numbers
    items: Numbers
    times: NDArray[np.float64]
    """Seconds since 1970, UTC."""
    ratings: NDArray[np.float32] | None
    rows: Numbers
    """The row of each in its file, counted from 0."""
    user_ids: Sequence[str]
    item_ids: Sequence[str]

    def __len__(self) -> int:
        return len(self.users)

    def take(self, chosen: NDArray[np.bool_] | Numbers) -> Events:
        """Some of the events, in the order of `chosen`; the numbers of users and items stay."""
        return replace(
            self,
            users=self.users[chosen],
            items=self.items[chosen],
            times=self.times[chosen],
            ratings=None if self.ratings is None else self.ratings[chosen],
            rows=self.rows[chosen],
        )

    def renumbered(self) -> Events:
        """The same events with numbers for those users and items alone that have one, in the same order."""
        users, user_ids = _compact(self.users, self.user_ids)
        items, item_ids = _compact(self.items, self.item_ids)
        return replace(self, users=users, items=items, user_ids=user_ids, item_ids=item_ids)

    def in_order(self) -> Events:
        """The events of one user after another, oldest first; those of one moment stay in the order of the file."""
        moments = self.times - self.times.min()
        span = int(moments.max()) + 1
        if (moments % 1).any() or span * len(self.user_ids) >= 2**63:
            return self.take(np.lexsort((moments, self.users)))
        # To sort by one number takes a half to a sixth of the time.
        return self.take(np.argsort(self.users * span + moments.astype(np.int64), kind="stable"))


def read_events(
    table: TableFile,
    columns: Columns,
    time_unit: times.TimeUnit,
    rename: Callable[[str], str] | None = None,
    date_order: DateOrder = "auto",
) -> Events:
    """The events of a table, in the order of its rows; `rename` turns the ids of users into pseudonyms.

    Users and items are numbered in the order of their ids, of numbers if all are numbers. Raises DataError for columns
    that are missing and, by row, for empty ids and for times and ratings that cannot be read. No message holds a
    user's id.
    """
    table.check_columns(
        {
            "data.user_column": columns.user,
            "data.item_column": columns.item,
            "data.time_column": columns.time,
            "data.rating_column": columns.rating,
        }
    )
    users, user_ids = _identify(table, columns.user, "data.user_column", rename)
    items, item_ids = _identify(table, columns.item, "data.item_column")
    return Events(
        users,
        items,
        times.seconds(table, columns.time, time_unit, date_order),
        None if columns.rating is None else _ratings(table, columns.rating),
        np.arange(len(table)),
        user_ids,
        item_ids,
    )


def core(events: Events, k: int) -> Events:
    """The k-core: leave out users and items of fewer than k events, again and again until none is left that is."""
    while True:
        of_user = np.bincount(events.users, minlength=len(events.user_ids))
        of_item = np.bincount(events.items, minlength=len(events.item_ids))
        kept = (of_user[events.users] >= k) & (of_item[events.items] >= k)
        if kept.all():
            return events
        events = events.take(kept)


def ordered(ids: Sequence[str]) -> list[str]:
    """Ids in the order of numbers if all are numbers, else of letters."""
    plain = all(name.isascii() and name.isdecimal() for name in ids)
    return sorted(ids, key=_as_number if plain else None)


def _as_number(digits: str) -> tuple[int, str, str]:
    """What orders digits as the numbers that they are, also where Python would make none of so many."""
    significant = digits.lstrip("0")
    return len(significant), significant, digits


def _identify(
    table: TableFile, name: str, setting: str, rename: Callable[[str], str] | None = None
) -> tuple[Numbers, list[str]]:
    """For each row the number of its id, and the ids by number."""
    codes, texts = _coded(table, name, setting)
    stripped = [text.strip() for text in texts]
    if empty := [code for code, text in enumerate(stripped) if is_empty(text)]:
        rows = np.flatnonzero(np.isin(codes, empty))
        raise _empty(table, name, rows)
    names = stripped if rename is None else [rename(text) for text in stripped]
    ids = ordered(list(dict.fromkeys(names)))
    number = {text: position for position, text in enumerate(ids)}
    return np.array([number[text] for text in names], dtype=np.int64)[codes], ids


def _coded(table: TableFile, name: str, setting: str) -> tuple[Numbers, list[str]]:
    """For each row the number of its cell among the different ones, and these as text."""
    import pyarrow as pa

    column = _whole(table, name, table.arrow(name, setting))
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise DataError(
            f"{table.path}: column {name!r} holds {kind}, no ids. Text or whole numbers were expected, one in each "
            f"row. Set {setting} to a column of ids."
        )
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = column.unify_dictionaries()
    if number_of_nulls(column):
        raise _empty(table, name, np.flatnonzero(column.is_null().to_numpy()))
    codes = np.concatenate([chunk.indices.to_numpy(zero_copy_only=False) for chunk in column.chunks])
    return codes.astype(np.int64), [str(text) for text in column.chunk(0).dictionary.to_pylist()]


def _whole(table: TableFile, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Ids that pandas made fractional because some were missing, as whole numbers again."""
    import pyarrow as pa
    from pyarrow import compute

    if not pa.types.is_floating(column.type):
        return column
    if number_of_nulls(column):
        raise _empty(table, name, np.flatnonzero(column.is_null(nan_is_null=True).to_numpy()))
    fractional = compute.not_equal(column, compute.trunc(column))
    # Beyond that, a double is no whole number that anybody wrote.
    huge = compute.greater(compute.abs(column), 2.0**53)
    if (row := row_of_first(compute.or_(fractional, huge))) is not None:
        raise DataError(
            f"{table.where(row)}: column {name!r} is {reprlib.repr(column[row].as_py())}, which is no id. "
            "Text or whole numbers were expected. Correct the cell."
        )
    return column.cast(pa.int64())


def _ratings(table: TableFile, name: str) -> NDArray[np.float32]:
    import pyarrow as pa
    from pyarrow import compute

    column = table.arrow(name, "data.rating_column")
    if is_text(column):
        column = with_points(compute.utf8_trim_whitespace(column))
    try:
        numbers = column.cast(pa.float64())
    except pa.ArrowException:
        row = first_refused(column, lambda part: part.cast(pa.float64()))
        raise DataError(
            f"{table.where(row)}: column {name!r} is {reprlib.repr(column[row].as_py())}. A rating, which is a number, "
            "was expected. Correct the cell, or take the row out."
        ) from None
    values: NDArray[np.float64] = numbers.to_numpy()
    if not np.isfinite(values).all():
        raise _empty(table, name, np.flatnonzero(~np.isfinite(values)))
    if (large := np.flatnonzero(np.abs(values) > np.finfo(np.float32).max)).size:
        raise DataError(
            f"{table.where(int(large[0]))}: column {name!r} is {values[large[0]]:g}, which is too large for a rating"
            f"{and_more(large.tolist())}. Correct the cell, or take the row out."
        )
    return values.astype(np.float32)


def _empty(table: TableFile, name: str, rows: Numbers) -> DataError:
    return DataError(
        f"{table.where(int(rows[0]))}: column {name!r} is empty or not a number{and_more(rows.tolist())}. Every row "
        "needs it. Fill the cells, or take the rows out."
    )


def _compact(numbers: Numbers, ids: Sequence[str]) -> tuple[Numbers, list[str]]:
    present = np.bincount(numbers, minlength=len(ids)) > 0
    return (np.cumsum(present) - 1)[numbers], [ids[number] for number in np.flatnonzero(present).tolist()]
