"""Plain values made into sections: each field of its declared type, or a message that says why not.

Written here rather than left to OmegaConf's typed merge, which turns 5 into true and false into text without
a word, reports one problem at a time, and takes a third of a second to import.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from taskkit.contracts.recipe import Key
from taskkit.contracts.settings import Setting, settings, to_plain
from taskkit.recipe.merge import dotted, scalar
from taskkit.wording import did_you_mean, shown

NAMES = {
    Any: "anything",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    NoneType: "null",
}
_BOUNDS = {"gt": "> {}", "ge": "≥ {}", "lt": "< {}", "le": "≤ {}"}
_WHOLE_NAME = re.compile(r"-?[1-9][0-9]{0,30}|0")
_WORDS = {"yes": True, "on": True, "no": False, "off": False}


SUGGESTED = 100
"""Of more unknown names than this in one place it is not said which were meant: that would take seconds."""


class Misfit(Exception):
    """Values that are not what their section declares: every problem, as key and message.

    `section` is there when nothing but fields that do not exist stood in its way.
    """

    def __init__(self, problems: Iterable[tuple[Key, str]], section: Any = None) -> None:
        self.problems = list(problems)
        self.section = section
        super().__init__("\n".join(message for _, message in self.problems))


def to_section(section: type, values: Mapping[str, Any], at: Key, what: str) -> Any:
    """Make a section of plain values; `what` names it in messages: `image.vit`.

    Raises Misfit with everything that is wrong.
    """
    fields = {setting.name: setting for setting in settings(section)}
    names = [name for name in values if name not in fields]
    suggest = len(names) <= SUGGESTED
    unknown = [((*at, name), _unknown((*at, name), what, fields, suggest)) for name in names]
    problems: list[tuple[Key, str]] = []
    given: dict[str, Any] = {}
    for name, setting in fields.items():
        try:
            if name in values:
                given[name] = to_value(values[name], setting, (*at, name))
            elif setting.required:
                problems.append(((*at, name), _missing((*at, name), setting)))
        except Misfit as misfit:
            problems += misfit.problems
    if problems:
        raise Misfit(unknown + problems)
    try:
        made = section(**given)
    except Exception as error:  # The section's own __post_init__, a plugin's code.
        raise Misfit([*unknown, (at, f"{dotted(at)} is refused by {what}: {error}")]) from error
    if unknown:
        raise Misfit(unknown, made)
    return made


def to_value(value: Any, setting: Setting, key: Key) -> Any:
    """Make the value of one field, within its bounds; raises Misfit."""
    try:
        converted = _convert(value, setting.type, key)
    except Misfit as misfit:
        inside = [problem for problem in misfit.problems if problem[0] != key]
        raise Misfit(inside or [(key, _wrong(value, setting, key))]) from None
    if outside := [(at, number) for at, number in _numbers(converted, key) if not within(number, setting.bounds)]:
        raise Misfit(
            [
                (at, _wrong(value, setting, key) if at == key else _outside(number, setting, at))
                for at, number in outside
            ]
        )
    return converted


def expected(setting: Setting) -> str:
    """What a field takes, in words: `a number > 0`."""
    return describe(setting.type, _bounds(setting))


def _bounds(setting: Setting) -> str:
    return " and ".join(_BOUNDS[name].format(limit) for name, limit in setting.bounds.items())


def describe(hint: Any, bounds: str = "") -> str:
    """A type in words; bounds are said of its numbers."""
    if hint in (int, float) and bounds:
        return f"{NAMES[hint]} {bounds}"
    if hint in NAMES:
        return NAMES[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return _alternatives([str(choice) for choice in arguments])
    if origin in (Union, UnionType):
        return _alternatives([describe(member, bounds) for member in arguments])
    if origin is tuple and arguments[-1:] != (...,):
        return f"a list of {len(arguments)}: {', '.join(describe(member, bounds) for member in arguments)}"
    if origin in (list, tuple, Sequence):
        return f"a list, each item {describe(arguments[0], bounds)}"
    if origin in (dict, Mapping):
        return f"a mapping, each value {describe(arguments[1], bounds)}"
    return "a mapping" if dataclasses.is_dataclass(hint) else str(hint)


def choices(hint: Any) -> tuple[Any, ...]:
    """The literal values among which a type chooses."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return tuple(choice for member in get_args(hint) for choice in choices(member))
    return ()


def within(number: float, bounds: Mapping[str, float]) -> bool:
    """Whether a number keeps to bounds."""
    return (
        number > bounds.get("gt", -math.inf)
        and number >= bounds.get("ge", -math.inf)
        and number < bounds.get("lt", math.inf)
        and number <= bounds.get("le", math.inf)
    )


def _convert(value: Any, hint: Any, key: Key) -> Any:
    origin = get_origin(hint)
    if hint is Any:
        return _finite(value, key)
    if origin in (Union, UnionType):
        return _one_of(value, hint, key)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, dict):
        return to_section(hint, value, key, dotted(key))
    if origin in (list, tuple, Sequence) and isinstance(value, list | tuple):
        return _items(list(value), hint, key)
    if origin in (dict, Mapping) and isinstance(value, dict):
        return _entries(value, hint, key)
    if origin is Literal:
        for choice in get_args(hint):
            if choice == value and type(choice) is type(value):
                return choice
    if hint in _SCALARS:
        for converted in _SCALARS[hint](value):
            return converted
    raise Misfit([(key, f"{dotted(key)} is {shown(value)}. Expected {describe(hint)}.")])


def _one_of(value: Any, hint: Any, key: Key) -> Any:
    inside: Misfit | None = None
    # `int | str` keeps 3 a number and "3" a text: the value's own type goes first.
    for member in sorted(get_args(hint), key=lambda member: member is not type(value)):
        try:
            return _convert(value, member, key)
        except Misfit as misfit:
            if any(at != key for at, _ in misfit.problems):
                inside = misfit
    raise inside or Misfit([(key, f"{dotted(key)} is {shown(value)}. Expected {describe(hint)}.")])


def _items(values: list[Any], hint: Any, key: Key) -> Any:
    members = get_args(hint)
    fixed = get_origin(hint) is tuple and members[-1:] != (...,)
    if fixed and len(values) != len(members):
        raise Misfit([(key, f"{dotted(key)} has {len(values)} items. Expected {describe(hint)}.")])
    types = members if fixed else [members[0]] * len(values)
    converted = _all(
        partial(_convert, value, member, (*key, str(i)))
        for i, (value, member) in enumerate(zip(values, types, strict=True))
    )
    return tuple(converted) if get_origin(hint) is tuple else converted


def _entries(values: Mapping[str, Any], hint: Any, key: Key) -> dict[Any, Any]:
    named, member = get_args(hint)
    name_of = _whole_name if named is int else _same_name
    names = _all(partial(name_of, name, key) for name in values)
    return dict(zip(names, _all(partial(_convert, values[n], member, (*key, n)) for n in values), strict=True))


def _all(conversions: Iterable[Callable[[], Any]]) -> list[Any]:
    """What each conversion gives; raises Misfit with the problems of all."""
    converted: list[Any] = []
    problems: list[tuple[Key, str]] = []
    for convert in conversions:
        try:
            converted.append(convert())
        except Misfit as misfit:
            problems += misfit.problems
    if problems:
        raise Misfit(problems)
    return converted


def _whole_name(name: str, key: Key) -> int:
    if not _WHOLE_NAME.fullmatch(name):
        raise Misfit([((*key, name), f"{dotted(key)} has the name {shown(name)}. Expected a whole number.")])
    return int(name)


def _same_name(name: str, key: Key) -> str:
    return name


def _finite(value: Any, key: Key) -> Any:
    """A value of any kind; raises Misfit for numbers in it that no arithmetic could go on from."""
    if endless := [at for at, number in _numbers(value, key) if not math.isfinite(number)]:
        raise Misfit(
            [(at, f"{dotted(at)} is not a finite number. Expected a value that can be counted with.") for at in endless]
        )
    return value


def _numbers(value: Any, key: Key) -> Iterator[tuple[Key, int | float]]:
    """The numbers in a value that is not a section, each with the way to it."""
    if _is_number(value):
        yield key, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _numbers(item, (*key, str(name)))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _numbers(item, (*key, str(i)))


# Each yields the converted value, or nothing when the value is of another kind.


def _boolean(value: Any) -> Iterator[bool]:
    if isinstance(value, bool):
        yield value
    elif isinstance(value, str) and value.lower() in _WORDS:
        yield _WORDS[value.lower()]


def _whole(value: Any) -> Iterator[int]:
    if _is_number(value) and float(value).is_integer():
        yield int(value)


def _number(value: Any) -> Iterator[float]:
    if _is_number(value) and math.isfinite(value):
        yield float(value)


def _text(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, int) and not isinstance(value, bool):
        yield str(value)


def _path(value: Any) -> Iterator[Path]:
    if isinstance(value, str) and value:
        yield Path(value)


def _nothing(value: Any) -> Iterator[None]:
    if value is None:
        yield None


_SCALARS: Mapping[Any, Any] = {
    bool: _boolean,
    int: _whole,
    float: _number,
    str: _text,
    Path: _path,
    NoneType: _nothing,
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _alternatives(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def _unknown(key: Key, what: str, known: Iterable[str], suggest: bool) -> str:
    near = (did_you_mean(key[-1], known) if suggest else "") or f" It has {', '.join(known) or 'none'}."
    return f"{dotted(key)} is not a field of {what}.{near}"


def _missing(key: Key, setting: Setting) -> str:
    doc = f" ({setting.doc})" if setting.doc else ""
    return f"{dotted(key)} is missing. Expected {expected(setting)}{doc}. Add it to the section."


def _outside(number: float, setting: Setting, key: Key) -> str:
    return f"{dotted(key)} is {shown(number)}. Expected a number {_bounds(setting)}."


def _wrong(value: Any, setting: Setting, key: Key) -> str:
    """What is wrong with a value, and what to do: the word that was meant, other quotes, or the default."""
    message = f"{dotted(key)} is {shown(value)}. Expected {expected(setting)}."
    near = did_you_mean(str(value), map(str, choices(setting.type))) if isinstance(value, str | int) else ""
    if near:
        return f"{message}{near}"
    if isinstance(value, str) and _is_number(scalar(value)):
        return f"{message} Write it without quotes."
    if isinstance(value, bool | float) and setting.type is str:
        return f"{message} Put it in quotes."
    if setting.required:
        return message
    default = (
        "its defaults"
        if dataclasses.is_dataclass(setting.default)
        else f"{shown(to_plain(setting.default))}, the default"
    )
    return f"{message} Leave it out for {default}."
