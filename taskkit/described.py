"""What `help()` shows of a dataclass: its docstring, then each field with what the source says of it."""

from __future__ import annotations

import dataclasses
import inspect
from itertools import pairwise
from typing import Any


def described(thing: Any) -> Any:
    """The same; a dataclass lets `help()` see its fields, of which Python keeps no docstrings."""
    if isinstance(thing, type) and dataclasses.is_dataclass(thing):
        own = vars(thing).get("__doc__")
        if isinstance(own, str) and HEADING not in own:
            later = _Described(own)
            # Of a class with a metaclass pydoc takes what is in its dictionary, as it is.
            thing.__doc__ = later if type(thing) is type else later.__get__(None, thing)  # type: ignore[assignment]
    return thing


HEADING = "\nFields:\n"


class _Described:
    """A docstring that is put together when somebody reads it: the sources are parsed for it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __get__(self, instance: object, owner: type) -> str:
        lines = [f"    {name}: {kind}{doc}" for name, kind, doc in _fields(owner)]
        return f"{inspect.cleandoc(self._text)}\n{HEADING}" + "\n".join(lines) if lines else self._text


def _fields(cls: type) -> list[tuple[str, str, str]]:
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        docs |= _attribute_docs(base) if dataclasses.is_dataclass(base) else {}
    return [
        (
            field.name,
            str(field.type),
            f"\n        {doc}" if (doc := field.metadata.get("doc") or docs.get(field.name)) else "",
        )
        for field in dataclasses.fields(cls)
    ]


def _attribute_docs(cls: type) -> dict[str, str]:
    """The strings that stand under the attributes of a class; none where its source is not at hand."""
    import ast
    import textwrap

    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError):
        return {}
    (node,) = tree.body
    body = node.body if isinstance(node, ast.ClassDef) else []
    return {
        field.target.id: " ".join(inspect.cleandoc(said.value.value).split())
        for field, said in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(said, ast.Expr)
        and isinstance(said.value, ast.Constant)
        and isinstance(said.value.value, str)
    }
