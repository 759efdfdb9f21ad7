"""Where events come from: their table, how it is read, and what is known of the items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from taskkit import DataError, Origin, PseudonymKey, TableFile
from taskkit_recsys.cells import is_empty
from taskkit_recsys.dates import DateOrder
from taskkit_recsys.events import Columns
from taskkit_recsys.times import TimeUnit


@dataclass(frozen=True)
class Source:
    """A table of events, how to read it, and what is known of the items."""

    name: str
    """The data module's."""
    table: TableFile
    columns: Columns
    origins: tuple[Origin, ...]
    time_unit: TimeUnit = "s"
    date_order: DateOrder = "auto"
    titles: TitleTable | None = None
    key: PseudonymKey | None = None
    """Users become pseudonyms of this key."""
    rating_scale: tuple[float, float] | None = None


@dataclass(frozen=True)
class TitleTable:
    """A table of items and what people call them."""

    table: TableFile
    item: str
    title: str

    def of(self, items: Sequence[str]) -> tuple[str, ...]:
        """The title of each of these items, empty where it has none.

        Raises DataError, by row, for an item that is there twice, and when none of the items is there.
        """
        names = [str(name).strip() for name in self.table.filled(self.item, "data.item_column")]
        cells = self.table.column(self.title, "data.title_column")
        titles: dict[str, str] = {}
        for row, (name, cell) in enumerate(zip(names, cells, strict=True)):
            if name in titles:
                raise DataError(
                    f"{self.table.where(row)}: item {name!r} is there a second time. Each item was expected once. "
                    "Take one of the rows out."
                )
            titles[name] = "" if cell is None or is_empty(str(cell)) else str(cell).strip()
        chosen = tuple(titles.get(item, "") for item in items)
        if not any(chosen):
            raise DataError(
                f"{self.table.path}: none of its items is in the events, where items are called "
                f"{', '.join(map(repr, items[:3]))}. Its column {self.item!r} was expected to hold the same ids. "
                "Set data.item_column, or give another file."
            )
        return chosen
