"""Plain data written as YAML that every reader understands alike, with a comment after each value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from taskkit.contracts.recipe import Key
from taskkit.recipe.merge import scalar

_WORD = re.compile(r"[A-Za-z_/][\w./-]*( [\w./-]+)*")
_YAML_1_1 = frozenset({"y", "n", "yes", "no", "on", "off"})
_COLUMN = 48


def document(values: Mapping[str, Any], comments: Mapping[Key, str]) -> str:
    """Write a mapping, sections indented, lists on one line."""
    return "".join(f"{line}\n" for line in _lines(values, comments, ()))


def _lines(values: Mapping[str, Any], comments: Mapping[Key, str], at: Key) -> Iterator[str]:
    for name, value in values.items():
        key = (*at, name)
        start = f"{'  ' * len(at)}{text(name)}:"
        if isinstance(value, Mapping) and value:
            yield start
            yield from _lines(value, comments, key)
        else:
            comment = " ".join(comments.get(key, "").splitlines())
            line = f"{start} {inline(value)}"
            yield f"{line:<{_COLUMN}}  # {comment}" if comment else line


def inline(value: Any) -> str:
    """Write a value on one line."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{text(name)}: {inline(item)}' for name, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(inline, value))}]"
    if isinstance(value, str):
        return text(value)
    if isinstance(value, float):
        # YAML 1.1 takes 1e-05 for text, for want of a point.
        mantissa, exponent, power = repr(value).partition("e")
        return f"{mantissa}{'' if '.' in mantissa or not exponent else '.0'}{exponent}{power}"
    return json.dumps(value)


def text(value: str) -> str:
    """Write text, in quotes where it would not be read back as that text."""
    plain = _WORD.fullmatch(value) and isinstance(scalar(value), str) and value.lower() not in _YAML_1_1
    return value if plain else "".join(map(_escaped, json.dumps(value, ensure_ascii=False)))


def _escaped(character: str) -> str:
    # JSON would write a character beyond 16 bits as two halves, which YAML reads as two characters.
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"
