"""Numbers as a person reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from taskkit.compare.layout import LEAST_P
from taskkit.report.document import Cell

NOTHING = "—"


def number(value: float | None) -> str:
    """Four digits after the point where it is small, six in all where it is large."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return str(value)
    if value != 0 and abs(value) < 0.001:
        return f"{value:.3g}"
    return f"{value:.4f}" if abs(value) < 100 else f"{value:,.6g}"


def short(value: float) -> str:
    """Three digits, for an axis."""
    return f"{value:,.0f}" if abs(value) >= 1000 and value == round(value) else f"{value:.3g}"


def count(value: int | None) -> str:
    """A whole number, its thousands apart."""
    return NOTHING if value is None else f"{value:,}"


def seconds(value: float | None) -> str:
    """A duration in its own unit."""
    if value is None:
        return NOTHING
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if value >= 2 * size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.{0 if value >= 10 else 1}f} s"


def bytes_(value: float | None) -> str:
    """A size in its own unit."""
    if value is None:
        return NOTHING
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.0f} B"


def interval(low: float | None, high: float | None) -> str:
    """Both ends, or that there is none."""
    return NOTHING if low is None or high is None else f"{number(low)}–{number(high)}"


def cell(value: Any) -> Cell:
    """A cell of a number, which sorts as such, or of a text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Cell(NOTHING if value is None else str(value))
    return Cell(count(value) if isinstance(value, int) else number(value), sort=float(value))


def chance(value: float | None) -> Cell:
    """A p-value; those below what a reader could tell apart are told as such."""
    if value is None or value >= LEAST_P:
        return cell(value)
    return Cell(f"<{LEAST_P}", sort=value)


def milliseconds(value: float | None) -> str:
    """A short time."""
    return NOTHING if value is None else f"{value:.3g} ms" if value < 1000 else f"{value:,.0f} ms"


def cut(text: str, most: int) -> str:
    """A text without its middle where it is too long."""
    return text if len(text) <= most else f"{text[: (most - 1) // 2]}…{text[len(text) - most // 2 :]}"


def column(texts: Sequence[str]) -> list[Cell]:
    """The cells of a column of a table: alike in form where all are numbers."""
    found = [parsed(text) for text in texts]
    if any(isinstance(value, float) for value in found):
        found = [float(value) if isinstance(value, int) else value for value in found]
    return [cell(value) for value in found]


def parsed(text: str) -> int | float | str:
    """The number that a cell of a table holds, or its text."""
    try:
        return int(text) if text.isdecimal() else value if math.isfinite(value := float(text)) else text
    except ValueError:
        return text
