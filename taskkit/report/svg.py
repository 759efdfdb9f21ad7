"""Scalable pictures: elements whose texts are escaped, and axes with round numbers on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from taskkit.wording import printable

WIDTH = 360
"""Of every chart, in its own units: as many as the pixels of a narrow telephone, so that its letters stay legible."""


def element(tag: str, *children: str, **attributes: object) -> Markup:
    """An element; texts among its children and attributes are escaped, `class_` is `class` and `_` is `-`."""
    said = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_said(_short(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    inside = Markup("").join(map(_said, children))
    return Markup("<{0}{1}>{2}</{0}>" if children else "<{0}{1}/>").format(tag, Markup(said), inside)


def _said(value: object) -> Markup:
    """A value as HTML; control characters of a text as escapes, since names of files may hold any."""
    return value if isinstance(value, Markup) else escape(printable(str(value)))


def _short(value: object) -> object:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value


def picture(key: str, height: float, title: str, description: str, *parts: Markup) -> Markup:
    """A chart of the usual width, which says what it is to those who do not see it; `key` is unique on its page."""
    return element(
        "svg",
        element("title", title, id=f"{key}-title"),
        element("desc", description, id=f"{key}-desc"),
        *parts,
        viewBox=f"0 0 {WIDTH} {height:.0f}",
        role="img",
        class_="chart",
        aria_labelledby=f"{key}-title",
        aria_describedby=f"{key}-desc",
    )


def text(x: float, y: float, said: str, place: str = "start", class_: str = "") -> Markup:
    """A line of text; `place` is where x is: at its start, middle or end."""
    return element("text", said, x=x, y=y, text_anchor=None if place == "start" else place, class_=class_ or None)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


@dataclass(frozen=True)
class Axis:
    """Where numbers are on a chart: `low` at the pixel `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float, *, log: bool = False, ease: float = 0.04) -> Axis:
        """One on which all values have room, with a little at both ends; `log` where all are positive."""
        known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        log = log and min(known) > 0
        low, high = (math.log10(min(known)), math.log10(max(known))) if log else (min(known), max(known))
        if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
            low, high = low - (abs(low) or 1) / 10, high + (abs(high) or 1) / 10
        room = ease * (high - low)
        low, high = low - room, high + room
        return cls(10**low, 10**high, start, end, log) if log else cls(low, high, start, end)

    def at(self, value: float) -> float:
        """The pixel of a number."""
        place, low, high = (math.log10(each) if self.log else each for each in (value, self.low, self.high))
        return self.start + (place - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int = 5) -> list[float]:
        """Round numbers that lie on it, no more than so many."""
        if self.log:
            powers = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            found = [10.0**power for power in powers]
            if len(found) >= 2:
                return found[:: math.ceil(len(found) / most)]
        step = _round_step((self.high - self.low) / most)
        first = math.ceil(self.low / step)
        return [round(i * step, 12) for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * size for size in (1, 2, 5, 10) if power * size >= rough * (1 - 1e-9))
