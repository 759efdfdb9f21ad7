"""Tables that read well on a terminal of any width, and as aligned lines where something else reads them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from taskkit.cli.output import say
from taskkit.wording import printable


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> None:
    """Print rows; columns without a value are left out, and where a terminal is too narrow the rows become blocks."""
    used = [at for at in range(len(columns)) if any(row[at] for row in rows)]
    widths = [max([len(row[at]) for row in rows]) for at in used]
    if not sys.stdout.isatty():
        _lines([[row[at] for at in used] for row in rows], widths)
        return
    from rich.console import Console

    # Texts come from strangers' packages: nothing in them is markup.
    console = Console(markup=False, highlight=False, emoji=False)
    names = [columns[at] for at in used]
    if sum(max(width, len(name)) + 2 for width, name in zip(widths, names, strict=True)) > console.width:
        for row in rows:
            for number, at in enumerate(at for at in used if row[at]):
                console.print(printable(row[at] if not number else f"  {columns[at]}: {row[at]}"), soft_wrap=False)
        return
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for name in names:
        table.add_column(name, no_wrap=True, justify="right" if name in right else "left")
    for row in rows:
        table.add_row(*(printable(row[at]) for at in used))
    console.print(table)


def _lines(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> None:
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
