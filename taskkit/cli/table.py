"""Tables that read well on a terminal of any width, and as aligned lines where something else reads them."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence

from taskkit.cli.output import say
from taskkit.wording import printable

Rows = Sequence[Sequence[str]]
FOLDED = 24
"""A column that may be folded has at least so many characters, or what its longest cell has."""


def print_table(columns: Sequence[str], rows: Rows, *, right: Collection[str] = (), fold: Collection[str] = ()) -> None:
    """Print rows; columns without a value are left out, and where a terminal is too narrow the rows become blocks.

    On a terminal the columns in `right` stand to the right, and cells of those in `fold` may take several lines.
    """
    if not sys.stdout.isatty():
        for line in aligned(rows):
            say(line)
    elif rows:
        used = [at for at in range(len(columns)) if any(row[at] for row in rows)]
        shown = [[printable(row[at]) for at in used] for row in rows]
        _print([columns[at] for at in used], shown, right, fold)


def aligned(rows: Rows) -> list[str]:
    """Rows as lines in which what is in one column stands below each other; empty columns are left out."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width] for row in rows]
    return ["  ".join(row).rstrip() for row in cells]


def _print(columns: Sequence[str], rows: Rows, right: Collection[str], fold: Collection[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    # Texts come from strangers' packages: nothing in them is markup.
    console = Console(markup=False, highlight=False, emoji=False)
    if _least_width(columns, rows, fold) > console.width:
        for row in rows:
            first, *rest = ((name, cell) for name, cell in zip(columns, row, strict=True) if cell)
            console.print(first[1])
            for name, cell in rest:
                console.print(f"  {name}: {cell}")
        return
    table = Table(box=box.SIMPLE_HEAD)
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name not in fold, justify="right" if name in right else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _least_width(columns: Sequence[str], rows: Rows, fold: Collection[str]) -> int:
    """Characters that a table needs, with two between columns."""
    widths = [max(len(name), *(len(row[at]) for row in rows)) for at, name in enumerate(columns)]
    return sum((min(width, FOLDED) if name in fold else width) + 2 for name, width in zip(columns, widths, strict=True))
