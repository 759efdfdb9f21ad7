"""Charts as inline SVG: coloured by the page's styles, told in words too, each point with its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from taskkit.report.numbers import cut, interval, number, short
from taskkit.report.svg import WIDTH, Axis, element, line, picture, text

LEFT, RIGHT, TOP, BOTTOM = 46.0, WIDTH - 10.0, 12.0, 36.0
HEIGHT = 216.0
POINTS = 120
"""A curve of more has the means of as many neighbours each as bring it to this."""
STYLES = 12
"""Series that can be told apart: six colours, whole and broken."""


@dataclass(frozen=True)
class Series:
    """A curve."""

    name: str
    points: tuple[tuple[float, float], ...]
    style: int = 0


@dataclass(frozen=True)
class Span:
    """A value with its interval, where there is one."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    style: int = 0
    said: str = ""
    """What else is told of it."""

    @property
    def known(self) -> list[float]:
        """The value and the ends."""
        return [each for each in (self.value, self.low, self.high) if each is not None]


def thinned(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Finite points, no more than are told apart: neighbours by their means."""
    finite = [point for point in points if all(map(math.isfinite, point))]
    size = math.ceil(len(finite) / POINTS) or 1
    parts = [finite[at : at + size] for at in range(0, len(finite), size)]
    return tuple((part[-1][0], sum(y for _, y in part) / len(part)) for part in parts)


def curves(key: str, title: str, series: Sequence[Series], across: str, *, log: bool = False) -> Markup:
    """Lines over steps, each told by its first, last and best points; `across` names what lies below."""
    points = [point for each in series for point in each.points]
    x = Axis.over([px for px, _ in points], LEFT, RIGHT, ease=0.02)
    y = Axis.over([py for _, py in points], HEIGHT - BOTTOM, TOP, log=log)
    said = "; ".join(_told(each) for each in series if each.points)
    return picture(key, HEIGHT, title, f"{said}.", *_frame(x, y, across), *(_curve(each, x, y) for each in series))


def _told(series: Series) -> str:
    (first, start), (last, end) = series.points[0], series.points[-1]
    values = [value for _, value in series.points]
    return (
        f"{series.name}: {number(start)} at {short(first)}, {number(end)} at {short(last)}, "
        f"from {number(min(values))} to {number(max(values))}"
    )


def _curve(series: Series, x: Axis, y: Axis) -> Markup:
    placed = [(x.at(px), y.at(py)) for px, py in series.points]
    path = " ".join(f"{px:.1f},{py:.1f}" for px, py in placed)
    dots = [
        element("circle", element("title", f"{series.name}: {number(py)} at {short(px)}"), cx=at[0], cy=at[1], r=2.2)
        for (px, py), at in zip(series.points, placed, strict=True)
    ]
    bare = "" if len(placed) <= 24 else " many"
    return element("g", element("polyline", points=path), *dots, class_=f"curve s{series.style % STYLES}{bare}")


def intervals(
    key: str, title: str, spans: Sequence[Span], across: str, *, reference: float | None = None, meaning: str = ""
) -> Markup:
    """A line for each value, from end to end of its interval, around or beside a reference such as zero."""
    values = [each for span in spans for each in span.known] + ([] if reference is None else [reference])
    x = Axis.over(values, 12.0, RIGHT, ease=0.06)
    row, top = 34.0, 22.0 if reference is not None and meaning else 8.0
    bottom = top + row * len(spans)
    parts = [line(x.at(each), top, x.at(each), bottom, "rule") for each in x.ticks()]
    parts += [text(x.at(each), bottom + 14, short(each), "middle") for each in x.ticks()]
    parts.append(text((x.start + x.end) / 2, bottom + 29, across, "middle", "axis"))
    if reference is not None:
        parts.append(line(x.at(reference), top, x.at(reference), bottom, "reference"))
        if meaning:
            place = "start" if x.at(reference) < WIDTH / 2 else "end"
            parts.append(text(x.at(reference), 13, cut(meaning, 50), place, "axis"))
    parts += [_span(span, x, top + row * at) for at, span in enumerate(spans)]
    said = "; ".join(f"{span.name}: {number(span.value)}, {_ends(span)}" for span in spans)
    return picture(key, bottom + 34, title, f"{said}.", *parts)


def _ends(span: Span) -> str:
    return "no interval" if span.low is None else f"95 % {interval(span.low, span.high)}"


def _span(span: Span, x: Axis, top: float) -> Markup:
    middle = top + 24
    told = f"{span.name}: {number(span.value)}, {_ends(span)}{f'; {span.said}' if span.said else ''}"
    parts = [element("title", told), text(12, top + 13, cut(span.name, 54))]
    if span.low is not None and span.high is not None:
        low, high = x.at(span.low), x.at(span.high)
        parts.append(line(low, middle, high, middle, "whisker"))
        parts += [line(end, middle - 4, end, middle + 4, "whisker") for end in (low, high)]
    parts.append(element("circle", cx=x.at(span.value), cy=middle, r=4))
    return element("g", *parts, class_=f"span s{span.style % STYLES}")


@dataclass(frozen=True)
class Bin:
    """Answers of like probability: how sure they were, how often right, and between which shares that may be."""

    sure: float
    right: float
    low: float
    high: float
    answers: int


def reliability(key: str, bins: Sequence[Bin]) -> Markup:
    """How often answers are right, over how probable they were said to be; below, how many there are of each."""
    height = 268.0
    x = Axis(0, 1, LEFT, RIGHT)
    y = Axis(0, 1, 190, TOP)
    most = max(each.answers for each in bins)
    parts = [*_frame(x, y, "", bottom=190), line(x.at(0), y.at(0), x.at(1), y.at(1), "reference")]
    for each in bins:
        told = (
            f"said {each.sure:.2f}, right {each.right:.2f} (95 % {each.low:.2f}–{each.high:.2f}), "
            f"{each.answers:,} answers"
        )
        px = x.at(each.sure)
        tall = 34 * each.answers / most
        parts.append(
            element(
                "g",
                element("title", told),
                line(px, y.at(each.low), px, y.at(each.high), "whisker"),
                element("circle", cx=px, cy=y.at(each.right), r=4),
                element("rect", x=px - 7, y=244 - tall, width=14, height=max(tall, 0.7), class_="bar"),
                class_="span s0",
            )
        )
    parts.append(text((LEFT + RIGHT) / 2, 262, "probability of the answer; below: how many", "middle", "axis"))
    said = "; ".join(f"said {each.sure:.2f}, right {each.right:.2f} of {each.answers}" for each in bins)
    return picture(key, height, "How often answers are right, by their probability", f"{said}.", *parts)


def histogram(key: str, title: str, values: Sequence[float], across: str, bins: int = 20) -> Markup:
    """How many examples have which score."""
    low, high = min(values), max(values)
    size = (high - low) / bins or 1.0
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / size))] += 1
    x = Axis(low, low + size * bins, LEFT, RIGHT)
    y = Axis(0, max(counts) * 1.05, HEIGHT - BOTTOM, TOP)
    bars = [
        element(
            "g",
            element("title", f"{count:,} from {number(low + at * size)} to {number(low + (at + 1) * size)}"),
            element(
                "rect",
                x=x.at(low + at * size) + 0.5,
                y=y.at(count),
                width=(RIGHT - LEFT) / bins - 1,
                height=y.at(0) - y.at(count),
                class_="bar",
            ),
            class_="s0",
        )
        for at, count in enumerate(counts)
        if count
    ]
    said = f"{len(values):,} examples, from {number(low)} to {number(high)}; half are below {number(_median(values))}."
    return picture(key, HEIGHT, title, said, *_frame(x, y, across), *bars)


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


@dataclass(frozen=True)
class Spot:
    """A point of a scatter."""

    name: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    style: int = 0


def scatter(key: str, title: str, spots: Sequence[Spot], across: str, up: str, *, joined: bool = False) -> Markup:
    """Points with their names and intervals; below, logarithms where they differ by tenfold and more."""
    wide = [spot.x for spot in spots]
    log = min(wide) > 0 and max(wide) >= 10 * min(wide)
    x = Axis.over(wide, LEFT, RIGHT, log=log, ease=0.1)
    y = Axis.over([v for s in spots for v in (s.y, s.low, s.high) if v is not None], HEIGHT - BOTTOM, TOP, ease=0.08)
    parts = _frame(x, y, f"{across}{' (logarithmic)' if log else ''}")
    if joined:
        ordered = sorted(spots, key=lambda spot: spot.x)
        parts += [line(x.at(a.x), y.at(a.y), x.at(b.x), y.at(b.y), "join") for a, b in pairwise(ordered)]
    heights = _apart([(x.at(spot.x), y.at(spot.y)) for spot in spots])
    named = len(spots) <= STYLES and not joined
    parts += [_spot(s, x, y, across, up, at if named else None) for s, at in zip(spots, heights, strict=True)]
    said = "; ".join(f"{spot.name}: {up} {number(spot.y)} at {across} {short(spot.x)}" for spot in spots)
    return picture(key, HEIGHT, title, f"{said}.", *parts)


def _apart(points: Sequence[tuple[float, float]]) -> list[float]:
    """Heights of names beside points, so that none stands on another."""
    placed = list[tuple[float, float]]()
    for x, y in points:
        free = (y + 4 + away for away in (0, -12, 12, -24, 24, -36, 36))
        here = next((at for at in free if all(abs(at - b) > 11 or abs(x - a) > 90 for a, b in placed)), y + 4)
        placed.append((x, here))
    return [height for _, height in placed]


def _spot(spot: Spot, x: Axis, y: Axis, across: str, up: str, height: float | None) -> Markup:
    px, py = x.at(spot.x), y.at(spot.y)
    told = f"{spot.name}: {up} {number(spot.y)}, {interval(spot.low, spot.high)}; {across} {short(spot.x)}"
    parts = [element("title", told)]
    if spot.low is not None and spot.high is not None:
        parts.append(line(px, y.at(spot.low), px, y.at(spot.high), "whisker"))
    parts.append(element("circle", cx=px, cy=py, r=4))
    if height is not None:
        label, ahead = cut(spot.name, 26), px > WIDTH * 0.6
        parts.append(text(px - 7 if ahead else px + 7, height, label, "end" if ahead else "start"))
    return element("g", *parts, class_=f"span s{spot.style % STYLES}")


def sparkline(values: Sequence[float], title: str) -> Markup:
    """Numbers in their order, as a small line without axes."""
    x, y = Axis.over([0.0, len(values) - 1.0], 4, 156), Axis.over(values, 40, 4)
    path = " ".join(f"{x.at(at):.1f},{y.at(value):.1f}" for at, value in enumerate(values))
    drawn = element("g", element("polyline", points=path), class_="curve s0")
    return element("svg", element("title", title), drawn, viewBox="0 0 160 44", role="img", class_="spark")


def _frame(x: Axis, y: Axis, across: str, *, bottom: float | None = None) -> list[Markup]:
    """Rules, numbers at both sides and what lies below."""
    foot = y.start if bottom is None else bottom
    parts = [line(x.start, y.at(each), x.end, y.at(each), "rule") for each in y.ticks()]
    parts += [text(x.start - 5, y.at(each) + 4, short(each), "end") for each in y.ticks()]
    most = max(2, int((x.end - x.start) / 62))
    parts += [text(x.at(each), foot + 14, short(each), "middle") for each in x.ticks(most)]
    parts.append(line(x.start, foot, x.end, foot, "base"))
    return [*parts, text((x.start + x.end) / 2, foot + 30, across, "middle", "axis")] if across else parts
