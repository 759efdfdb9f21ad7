"""Raw examples and predictions as HTML: texts, lists, pictures and sounds inside the page, nothing outside of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from numbers import Real
from pathlib import Path, PurePath
from typing import Any

from markupsafe import Markup, escape

from taskkit.contracts.facts import Attachment
from taskkit.errors import CheckpointError
from taskkit.report import numbers
from taskkit.report.charts import sparkline
from taskkit.report.svg import element
from taskkit.runs.encryption import reading

PICTURES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
}
SOUNDS = {".wav": "audio/wav", ".flac": "audio/flac", ".mp3": "audio/mpeg", ".ogg": "audio/ogg"}
LARGEST = 250_000
"""Bytes of one picture or sound that are still embedded."""
ANSWER = 40_000
"""Bytes of a prediction that is a file and still embedded."""
ALL = 650_000
"""Bytes of all pictures and sounds of a report."""
LETTERS = 400
"""Of a text."""
ITEMS = 12
"""Of a list."""
FIRST = 3
"""Of an answer of several lines."""
DRAWN = range(5, 2001)
"""So many numbers in a row are drawn as a line."""


def within_budget(values: Mapping[str, Any]) -> tuple[dict[str, Markup], str]:
    """Values as HTML by name, media as long as there is room for them; and what was left out, in words."""
    made, spent, left = dict[str, Markup](), 0, 0
    for name, value in values.items():
        size = sum(len(each.content) for each in _attachments(value))
        fits = spent + size <= ALL
        spent += size if fits else 0
        left += 0 if fits else 1
        made[name] = html(value) if fits else element("p", "left out: the report would be too large", class_="quiet")
    room = numbers.bytes_(ALL)
    return made, f"{left} of {len(values)} examples are without their media, of which it holds {room}." if left else ""


def _attachments(value: Any) -> Iterable[Attachment]:
    if isinstance(value, Attachment):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _attachments(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _attachments(item)


def html(value: Any, name: str = "the example") -> Markup:
    """Whatever `Fact.show` or a prediction gave, as HTML; nothing in it is markup."""
    if isinstance(value, Attachment):
        return _embedded(value, name)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, PurePath):
        return _text(value.name)
    if value is None or isinstance(value, Real):
        return escape(numbers.cell(value).text)
    if isinstance(value, Mapping):
        return _mapping(value)
    if isinstance(value, Sequence):
        return _sequence(value, name)
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _text(f"{value.dtype} of shape {tuple(value.shape)}")
    if is_dataclass(value):
        return _mapping({each.name: getattr(value, each.name) for each in fields(value)})
    return _text(str(value))


def _embedded(file: Attachment, name: str) -> Markup:
    suffix, size = file.suffix.lower(), len(file.content)
    kind = PICTURES.get(suffix) or SOUNDS.get(suffix)
    if kind is None or size > LARGEST:
        why = "which no browser shows" if kind is None else f"more than the {numbers.bytes_(LARGEST)} of one example"
        return element("p", f"a {suffix} file of {numbers.bytes_(size)}, {why}", class_="quiet")
    address = f"data:{kind};base64,{base64.b64encode(file.content).decode()}"
    if suffix in SOUNDS:
        return Markup('<audio controls preload="metadata" src="{}" aria-label="{}"></audio>').format(address, name)
    return Markup('<img src="{}" alt="{}">').format(address, name)


def _text(said: str) -> Markup:
    if len(said) <= LETTERS:
        return element("p", said, class_="said", dir="auto")
    more = element("span", f" … {len(said) - LETTERS:,} letters more", class_="quiet")
    return element("p", said[:LETTERS], more, class_="said", dir="auto")


def _mapping(value: Mapping[Any, Any]) -> Markup:
    items = [
        element("div", element("dt", str(name)), element("dd", html(item, str(name)))) for name, item in value.items()
    ]
    more = element("p", f"… {len(items) - ITEMS:,} more", class_="quiet") if len(items) > ITEMS else ""
    return Markup("{}{}").format(element("dl", *items[:ITEMS], class_="fields"), more) if items else _text("nothing")


def _sequence(value: Sequence[Any], name: str) -> Markup:
    if not value:
        return _text("nothing")
    if all(isinstance(item, Real) and not isinstance(item, bool) for item in value):
        said = ", ".join(f"{float(item):.4g}" for item in value[:ITEMS])
        told = f"{said}{f', … {len(value) - ITEMS:,} more' if len(value) > ITEMS else ''}"
        drawn = sparkline([float(item) for item in value], f"{len(value)} numbers") if len(value) in DRAWN else ""
        return Markup("{}{}").format(drawn, element("p", told, class_="numbers"))
    items = [element("li", html(item, name)) for item in value[:ITEMS]]
    more = [element("li", f"… {len(value) - ITEMS:,} more", class_="quiet")] if len(value) > ITEMS else []
    return element("ul", *items, *more)


def prediction(value: Any, run: Path) -> Markup:
    """What a row of predictions.parquet holds: plain, as JSON where it was nested, or the path of a file of the run."""
    if isinstance(value, str) and value.startswith("predictions/") and not {"..", ""} & {*PurePath(value).parts}:
        file = run / value
        if file.is_file() and not file.is_symlink():
            size = file.stat().st_size
            if size > ANSWER:
                return html(f"{value}, of {numbers.bytes_(size)}")
            try:
                with reading(file) as opened:
                    return html(Attachment(opened.read(), file.suffix), "the prediction")
            except (OSError, CheckpointError) as error:
                return element("p", f"cannot be read ({error})", class_="quiet")
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            nested = json.loads(value)
        except ValueError:
            return html(value)
        return html(_plainer(nested))
    return html(value)


def _plainer(value: Any) -> Any:
    """A list of mappings as a list of its first lines."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        lines = [" · ".join(_said(each) for each in item.values()) for item in value]
        return lines if len(lines) <= FIRST else [*lines[:FIRST], f"… {len(lines) - FIRST:,} more"]
    return value


def _said(value: Any) -> str:
    return value if isinstance(value, str) else numbers.cell(value).text
