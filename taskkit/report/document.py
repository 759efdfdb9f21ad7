"""What a report says, as a value: sections of prose, tables, figures and examples. One template makes HTML of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from markupsafe import Markup

NARROW = 46
"""So many letters of a table stand beside each other on a telephone."""
GAP = 2
"""Between two columns."""
Tone = Literal["", "good", "warn", "bad"]


@dataclass(frozen=True)
class Prose:
    """A paragraph."""

    text: str
    tone: Tone = ""
    kind: Literal["prose"] = "prose"


@dataclass(frozen=True)
class Facts:
    """Terms and what they are."""

    items: tuple[tuple[str, str], ...]
    kind: Literal["facts"] = "facts"


@dataclass(frozen=True)
class Cell:
    """What stands in a table."""

    text: str
    sort: float | None = None
    """The number that a column is sorted by; None: its text."""
    heat: float | None = None
    """From 0 to 1: how deep it is coloured."""
    tone: Tone = ""


@dataclass(frozen=True)
class Column:
    """A column of a table; numbers stand to the right."""

    title: str
    right: bool = False


@dataclass(frozen=True)
class Grid:
    """A table, whose first cells name their rows."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    sortable: bool = False
    matrix: bool = False
    """Whether it is square, with the same names at both sides."""
    kind: Literal["grid"] = "grid"

    @property
    def wide(self) -> bool:
        """Whether a telephone has no room for it; then its rows become blocks there."""
        texts = [[column.title for column in self.columns], *([cell.text for cell in row] for row in self.rows)]
        room = sum(max(len(row[at]) for row in texts) + GAP for at in range(len(self.columns)))
        return room > NARROW


@dataclass(frozen=True)
class Figure:
    """A chart, with what it shows in words."""

    svg: Markup
    caption: str
    legend: tuple[str, ...] = ()
    """The names of its series, in the order of their styles."""
    kind: Literal["figure"] = "figure"


@dataclass(frozen=True)
class Figures:
    """Charts side by side, where there is room."""

    items: tuple[Figure, ...]
    kind: Literal["figures"] = "figures"


@dataclass(frozen=True)
class Shown:
    """An example with what it is, what was answered and what is known of it."""

    name: str
    media: Markup
    """Its input, as a person sees, hears or reads it; empty: the data could not be had."""
    facts: tuple[tuple[str, Markup | str], ...]


@dataclass(frozen=True)
class Gallery:
    """Examples side by side."""

    items: tuple[Shown, ...]
    kind: Literal["gallery"] = "gallery"


@dataclass(frozen=True)
class Line:
    """A line of a text of fixed width; what was chosen stands out from what is the default."""

    text: str
    comment: str = ""
    chosen: bool = False


@dataclass(frozen=True)
class Code:
    """A text of fixed width."""

    lines: tuple[Line, ...]
    label: str
    kind: Literal["code"] = "code"


@dataclass(frozen=True)
class More:
    """What is folded away until it is asked for; printed, it is open."""

    summary: str
    parts: tuple[Part, ...]
    kind: Literal["more"] = "more"


Part = Prose | Facts | Grid | Figure | Figures | Gallery | Code | More


@dataclass(frozen=True)
class Section:
    """A part of a report with a heading."""

    key: str
    """Its anchor."""
    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Page:
    """A whole report."""

    title: str
    subtitle: str
    verdict: str
    tone: Tone
    """Of the verdict."""
    key_facts: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    """What a reader must know of these numbers."""
    sections: tuple[Section, ...]
    made: str
    """By what and when, for the foot."""
    label: str = field(default="Run")


def grid(caption: str, columns: Sequence[str], rows: Sequence[Sequence[Cell | str]], *, sortable: bool = False) -> Grid:
    """A table of cells, in which a column of numbers stands to the right; text becomes cells."""
    cells = tuple(tuple(Cell(each) if isinstance(each, str) else each for each in row) for row in rows)
    right = [bool(cells) and any(row[at].sort is not None for row in cells) for at in range(len(columns))]
    return Grid(caption, tuple(map(Column, columns, right)), cells, sortable)
