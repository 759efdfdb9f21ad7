"""Tables for a terminal of some width: the columns for which there is room, and names that are cut in their middle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

GAP = "  "
NARROWEST = 10
"""Characters that a name keeps in a narrow terminal."""


@dataclass(frozen=True)
class Column:
    """What a table says of each place, under a title; the second column holds the names, which may be cut."""

    title: str
    cell: Callable[[int], str]
    need: int
    """Which go first where there is no room: those with the highest."""


def fitted(columns: Sequence[Column], places: range, width: int) -> list[str]:
    """The lines of a table of those columns that say something and for which there is room, the most needed first.

    Names are cut no further than to where no two of them look alike.
    """
    chosen = [each for each in columns if each.need == 0 or any(each.cell(i) for i in places)]
    while len(chosen) > 3 and _least_width(chosen, places) > width:
        chosen.remove(max(chosen, key=lambda each: each.need))
    table = [[column.title for column in chosen], *([column.cell(place) for column in chosen] for place in places)]
    return aligned(shortened(table, width))


def _least_width(columns: Sequence[Column], places: range) -> int:
    sizes = [max(len(each.title), *(len(each.cell(i)) for i in places)) for each in columns]
    sizes[1] = min(sizes[1], _narrowest([columns[1].cell(i) for i in places]))
    return sum(sizes) + len(GAP) * (len(sizes) - 1)


def shortened(table: Sequence[Sequence[str]], width: int, names: int = 1) -> list[list[str]]:
    """The names, a column of the table, cut in their middle to what is left of the width."""
    others = sum(max(map(len, column)) + len(GAP) for i, column in enumerate(zip(*table, strict=True)) if i != names)
    room = max(_narrowest([row[names] for row in table]), width - others)
    return [[_cut(cell, room) if i == names else cell for i, cell in enumerate(row)] for row in table]


def _narrowest(cells: Sequence[str]) -> int:
    """The fewest characters to which names can be cut without making two of them one."""
    kinds, longest = len({*cells}), max(map(len, cells))
    return next(
        (room for room in range(NARROWEST, longest) if len({_cut(each, room) for each in cells}) == kinds), longest
    )


def _cut(name: str, room: int) -> str:
    if len(name) <= room:
        return name
    return f"{name[: (room - 1) // 2]}…{name[len(name) - room // 2 :]}"


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table whose columns are as wide as what they hold."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [GAP.join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip() for row in table]
