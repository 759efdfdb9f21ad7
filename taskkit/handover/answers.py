"""What a network answers, as tensors by name, and such an answer made anew of other tensors."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

from taskkit.errors import CheckpointError

ONLY = "output"
"""The name of an answer that is one tensor."""

Parts = Mapping[str, Any]


def tensors(answer: Any) -> dict[str, Tensor]:
    """The tensors of an answer by name, of any shapes: mappings, tuples, lists and dataclasses are looked into."""
    return {name or ONLY: value for name, value in _leaves(answer, "") if isinstance(value, Tensor)}


def strange(answer: Any) -> str:
    """The type of the first thing in an answer that is neither made of tensors nor plain; empty: there is none."""
    plain = Tensor | str | int | float | bool | None
    return next((type(value).__name__ for _, value in _leaves(answer, "") if not isinstance(value, plain)), "")


def with_tensors(answer: Any, others: Mapping[str, Tensor], name: str = "") -> Any:
    """An answer of the same make, with the tensors of these names, as `tensors` gives them."""
    if isinstance(answer, Tensor):
        return others[name or ONLY]
    if (found := _parts(answer)) is None:
        return answer
    parts, made = found
    return made({key: with_tensors(part, others, f"{name}.{key}".lstrip(".")) for key, part in parts.items()})


def _leaves(answer: Any, name: str) -> Iterator[tuple[str, Any]]:
    if (found := _parts(answer)) is None:
        yield name, answer
        return
    for key, part in found[0].items():
        yield from _leaves(part, f"{name}.{key}".lstrip("."))


def _parts(answer: Any) -> tuple[Parts, Callable[[Parts], Any]] | None:
    """The parts of an answer by name, and what makes one of others; None: it has none."""
    if dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        fields = {field.name: getattr(answer, field.name) for field in dataclasses.fields(answer)}
        return fields, lambda parts: dataclasses.replace(answer, **parts)
    if isinstance(answer, Mapping):
        names = {str(name): name for name in answer}
        return dict(zip(names, answer.values(), strict=True)), lambda parts: {names[k]: v for k, v in parts.items()}
    kind: Any = type(answer)
    if isinstance(answer, tuple) and hasattr(kind, "_fields"):
        return dict(zip(kind._fields, answer, strict=True)), lambda parts: kind(**parts)
    if isinstance(answer, list | tuple):
        return {str(at): part for at, part in enumerate(answer)}, lambda parts: kind(parts.values())
    return None


def described(answer: Any, name: str = "") -> Any:
    """How an answer is made of its tensors, as plain data: what `rebuilt` takes."""
    if isinstance(answer, Tensor):
        return {"tensor": name or ONLY}
    if (found := _parts(answer)) is None:
        return {"plain": answer}
    parts = {key: described(part, f"{name}.{key}".lstrip(".")) for key, part in found[0].items()}
    if isinstance(answer, list | tuple) and not hasattr(answer, "_fields"):
        return {type(answer).__name__: list(parts.values())}
    if isinstance(answer, Mapping) and not dataclasses.is_dataclass(answer):
        return {"mapping": parts}
    return {"class": f"{type(answer).__module__}:{type(answer).__qualname__}", "parts": parts}


def rebuilt(form: Any, others: Mapping[str, Tensor]) -> Any:
    """The answer that `described` told of, with these tensors.

    A class is looked for among modules that are imported already, and must be a dataclass or a named tuple: a file can
    make nothing be imported or called. Raises CheckpointError for any other.
    """
    ((kind, inside),) = form.items() if len(form) == 1 else (("class", form["class"]),)
    match kind:
        case "tensor":
            return others[inside]
        case "plain":
            return inside
        case "mapping":
            return {name: rebuilt(part, others) for name, part in inside.items()}
        case "list":
            return [rebuilt(part, others) for part in inside]
        case "tuple":
            return tuple(rebuilt(part, others) for part in inside)
    module, _, name = str(inside).partition(":")
    made: Any = getattr(sys.modules.get(module), name, None)
    if not (isinstance(made, type) and (dataclasses.is_dataclass(made) or hasattr(made, "_fields"))):
        raise CheckpointError(
            f"export.json: the network's answer is a {inside}, which the installed plugin does not have. Install the "
            "versions that it names."
        )
    return made(**{name: rebuilt(part, others) for name, part in form["parts"].items()})
