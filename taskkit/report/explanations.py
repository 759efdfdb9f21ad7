"""Explanations as a part of a report, or as a page of their own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata

from markupsafe import Markup

from taskkit.explanation.value import Explanation, Part, in_words
from taskkit.report import bitmap, media
from taskkit.report.document import Gallery, Page, Prose, Section, Shown, Tone
from taskkit.report.html import render
from taskkit.report.svg import WIDTH, element, picture, text

LEGEND = "Blue speaks for the answer, orange against it; the deeper, the more."
ITEMS = 12
"""So many things are ranked."""
HEIGHT = 150
"""Of a sequence that is drawn."""


def report(explanations: Sequence[Explanation], run: str) -> str:
    """A page of explanations of a run's answers, as HTML."""
    off = [each for each in explanations if each.sum is not None and not each.sum.holds]
    summed = [each for each in explanations if each.sum is not None]
    methods = ", ".join(dict.fromkeys(each.method for each in explanations))
    verdict = (
        f"The attributions of {len(off)} of {len(explanations)} inputs do not add up to what they explain."
        if off
        else "All attributions add up to what they explain."
        if summed
        else f"{methods}: a method that promises no sum, so that none was checked."
    )
    made = f"Made by taskkit {metadata.version('taskkit-ml')}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
    facts = (("method", methods), ("inputs", f"{len(explanations):,}"))
    section = Section("answers", "Answers", (Prose(LEGEND), gallery(explanations)))
    tone: Tone = "bad" if off else "good" if summed else ""
    return render(Page("What answers rest on", run, verdict, tone, facts, (), (section,), made, "Explanation"))


def gallery(explanations: Sequence[Explanation]) -> Gallery:
    """Explanations side by side."""
    return Gallery(tuple(_shown(each, number) for number, each in enumerate(explanations)))


def _shown(found: Explanation, number: int) -> Shown:
    drawn = [_part(part, found, f"explained-{number}-{at}") for at, part in enumerate(found.parts)]
    near = [
        element("li", media.html(each.shown), element("p", f"{each.id}: {_target(each.target)}{each.similarity:.3f}"))
        for each in found.neighbours
    ]
    facts: list[tuple[str, str]] = [("answer", found.answer), (found.quantity, f"{found.score:.4g}")]
    if found.sum is not None:
        facts.append(("check", in_words(found.sum)))
    if found.baseline:
        facts.append(("compared with", found.baseline))
    settings = ", ".join(f"{name} {value}" for name, value in found.settings.items())
    facts.append(("method", f"{found.method}{f' ({settings})' if settings else ''}"))
    return Shown(
        found.input, Markup("").join([*drawn, *([element("ul", *near, class_="near")] if near else [])]), tuple(facts)
    )


def _target(target: object) -> str:
    return "" if target is None else f"{target}, "


def _part(part: Part, found: Explanation, key: str) -> Markup:
    if part.kind == "picture":
        return _picture(part, key)
    if part.kind == "text":
        return _text(part)
    if part.kind == "items":
        return _items(part)
    if part.kind == "sequence":
        return _sequence(part, found, key)
    return element("p", f"{part.name}: {part.values:+.4g}")


def _picture(part: Part, key: str) -> Markup:
    height, width = len(part.seen), len(part.seen[0])
    size = {"x": 0, "y": 0, "width": width, "height": height}
    seen = element("image", href=bitmap.png(part.seen), **size)
    over = element("image", href=bitmap.heat(part.values), preserveAspectRatio="none", **size)
    grey = element("g", seen, class_="below")
    return Markup("").join(
        element(
            "svg",
            element("title", said, id=f"{key}-{at}"),
            *layers,
            viewBox=f"0 0 {width} {height}",
            role="img",
            class_="seen",
            aria_labelledby=f"{key}-{at}",
        )
        for at, (said, layers) in enumerate(
            [("What the network was given", (seen,)), ("The same, with what counted in colour", (grey, over))]
        )
    )


def _text(part: Part) -> Markup:
    most = max(map(abs, part.values), default=0.0) or 1.0
    pieces = [
        element(
            "span",
            name,
            class_="for" if value > 0 else "against",
            style=f"--heat: {abs(value) / most:.3f}",
            title=f"{value:+.4g}",
        )
        for name, value in zip(part.names, part.values, strict=True)
    ]
    return element("p", *pieces, class_="attributed", dir="auto")


def _items(part: Part) -> Markup:
    most = max(map(abs, part.values), default=0.0) or 1.0
    ranked = sorted(zip(part.values, part.names, strict=True), key=lambda each: -abs(each[0]))
    rows = [
        element(
            "li",
            element("span", name, class_="for" if value > 0 else "against", style=f"--heat: {abs(value) / most:.3f}"),
            f" {value:+.4g}",
        )
        for value, name in ranked[:ITEMS]
    ]
    more = [element("li", f"… {len(ranked) - ITEMS:,} more", class_="quiet")] if len(ranked) > ITEMS else []
    return element("ol", *rows, *more, class_="attributed")


def _sequence(part: Part, found: Explanation, key: str) -> Markup:
    """A picture of shades or a line, under the words that lie in it, coloured from left to right."""
    top, bottom = 22.0, HEIGHT - 18.0
    size = {"x": 0, "y": top, "width": WIDTH, "height": bottom - top, "preserveAspectRatio": "none"}
    if part.seen and isinstance(part.seen[0], Sequence):
        below = element("image", href=bitmap.shades(part.seen), **size)
    else:
        below = _line(part.seen, top, bottom)
    over = element("image", href=bitmap.heat([part.values]), **size)
    words = [text(word.start * WIDTH, 14, word.text, class_="word") for word in found.words]
    axis = (
        []
        if found.seconds is None
        else [text(0, HEIGHT - 4, "0 s"), text(WIDTH, HEIGHT - 4, f"{found.seconds:.2f} s", "end")]
    )
    said = "What the network was given, from beginning to end, with what counted in colour"
    return picture(key, HEIGHT, said, f"Its answer: {found.answer}", below, over, *words, *axis)


def _line(values: Sequence[float], top: float, bottom: float) -> Markup:
    low, high = min(values), max(values)
    step = WIDTH / max(1, len(values) - 1)
    heights = [bottom - (value - low) / ((high - low) or 1) * (bottom - top) for value in values]
    points = " ".join(f"{number * step:.1f},{y:.1f}" for number, y in enumerate(heights))
    return element("g", element("polyline", points=points), class_="curve s0")
