"""The public surface, frozen: names, fields, methods and signatures, as they stand in public.txt beside this file.

A change of it is a change for everybody who published a plugin. Where it is meant, write the file anew with
`python tests/test_public.py` and say so in CHANGELOG.md.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import taskkit
from taskkit.contracts import hookspecs

FROZEN = Path(__file__).with_name("public.txt")


def surface() -> Iterator[str]:
    """A line for each public name, and for each public member of a public class."""
    for name in sorted(taskkit.__all__, key=str.lower):
        for line in _described(name, getattr(taskkit, name)):
            yield re.sub(r"<(\S+) object at \w+>", r"\1", line)
    for name, hook in vars(hookspecs).items():
        if name.startswith("taskkit_"):
            yield f"hook {name}{inspect.signature(hook)}"


def _described(name: str, thing: Any) -> Iterator[str]:
    if not inspect.isclass(thing):
        yield f"{name}{inspect.signature(thing)}" if inspect.isfunction(thing) else f"{name}: {type(thing).__name__}"
        return
    bases = ", ".join(base.__name__ for base in thing.__bases__ if base is not object)
    yield f"class {name}({bases})"
    fields = {field.name: field for field in dataclasses.fields(thing)} if dataclasses.is_dataclass(thing) else {}
    for each in fields.values():
        yield f"    {name}.{each.name}: {each.type}"
    for member, value in sorted(vars(thing).items()):
        if (not member.startswith("_") or member == "__init__") and member not in fields:
            if member == "__init__" and fields:
                continue
            yield f"    {name}.{_member(member, value)}"


def _member(name: str, value: Any) -> str:
    abstract = "abstract " if getattr(value, "__isabstractmethod__", False) else ""
    if isinstance(value, property):
        return f"{name} (property)"
    value = getattr(value, "func", getattr(value, "__func__", value))  # a cached property, a class method
    return f"{abstract}{name}{inspect.signature(value)}" if inspect.isfunction(value) else name


def test_the_public_surface_is_the_frozen_one() -> None:
    assert "\n".join(surface()).splitlines() == FROZEN.read_text().splitlines(), __doc__


if __name__ == "__main__":
    FROZEN.write_text("\n".join(surface()) + "\n")
