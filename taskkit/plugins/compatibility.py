"""What components declare, imported without torch, and whether a task, a model and data fit each other."""

from __future__ import annotations

import ast
import dataclasses
import operator
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from taskkit.contracts.component import KINDS, Component, Kind, PluginInfo, load
from taskkit.contracts.facts import Fact, SelfSupervised
from taskkit.contracts.settings import Setting, settings
from taskkit.errors import PluginError
from taskkit.plugins.guard import Refused, guard
from taskkit.wording import TELL_AUTHORS

if TYPE_CHECKING:
    from taskkit.contracts.recipe import Key
    from taskkit.plugins.registry import Plugins

Found = Iterator[tuple["Key", str]]
"""Keys of a recipe and what is wrong with their values."""

_Side = Literal["inputs", "targets"]


def fits(components: Mapping[Kind, Component], plugins: Plugins) -> Found:
    """Whether data state the facts that task and model need, by their declarations alone."""
    stated: dict[Kind, _Stated] = {}
    for kind, component in components.items():
        try:
            stated[kind] = _state(component, plugins)
        except PluginError as error:
            yield (kind, "name"), str(error)
    for needy, side, other in _misfits(stated):
        advice = _advice(other, stated, plugins)
        yield (other, "name"), f"{_misfit(stated[needy], side, stated[other])}. {advice}"


def check_usable(component: Component, plugin: PluginInfo) -> None:
    """Raise PluginError where a component's class is not in its module, or its section or facts do not load."""
    _check_implemented(component, plugin)
    section_of(component, plugin)
    for reference in (component.input, *component.targets):
        if reference:
            fact(component, reference, plugin)


@dataclass(frozen=True)
class _Stated:
    """A component with its facts imported."""

    component: Component
    input: type[Fact] | None
    targets: tuple[type[Fact], ...]

    def __str__(self) -> str:
        return f"{self.component.kind} {self.component.name}"


def _state(component: Component, plugins: Plugins) -> _Stated:
    plugin = plugins.owner(component)
    _check_implemented(component, plugin)
    needed = fact(component, component.input, plugin) if component.input else None
    return _Stated(component, needed, tuple(fact(component, name, plugin) for name in component.targets))


def _check_implemented(component: Component, plugin: PluginInfo) -> None:
    """Raise PluginError where the module that should have a component's class has no such name; nothing is imported.

    What cannot be known without an import, as of a class in another package, is told when it is made.
    """
    module, _, name = component.implementation.partition(":")
    names = _names_in(module)
    if names is None or name in names or names & {"*", "__getattr__"}:
        return
    what = _unusable(component, component.implementation, plugin)
    why = f"{module} has no {name}" if names else f"there is no module {module}"
    raise PluginError(f"{what} is not there: {why}. {TELL_AUTHORS}")


def _names_in(module: str) -> set[str] | None:
    """All names of a module, by its source unless it is imported; none where there is no such module; None: unknown."""
    if (loaded := sys.modules.get(module)) is not None:
        return set(vars(loaded))
    package = module.rpartition(".")[0]
    if package and package not in sys.modules:
        return None
    if (spec := find_spec(module)) is None:
        return set()
    if spec.origin is None or not spec.origin.endswith(".py"):
        return None
    try:
        tree = ast.parse(Path(spec.origin).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None  # Importing it says more.
    return {name for node in ast.walk(tree) for name in _defined(node)} | {"__name__"}


def _defined(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in node.names)


def _misfits(stated: Mapping[Kind, _Stated]) -> Iterator[tuple[Kind, _Side, Kind]]:
    """Which component needs a fact of its inputs or targets that which other one has not.

    Data may state more than is needed, and a task may make its targets of the inputs alone.
    """
    task, model, data = (stated.get(kind) for kind in KINDS)
    if task and data:
        judged = task.targets[0]
        if not (issubclass(judged, SelfSupervised) or any(issubclass(target, judged) for target in data.targets)):
            yield "task", "targets", "data"
    for needy in (task, model):
        if needy and data and needy.input and not (data.input and issubclass(data.input, needy.input)):
            yield needy.component.kind, "inputs", "data"
    if task and model and not any(issubclass(task.targets[0], answer) for answer in model.targets):
        yield "task", "targets", "model"


def _misfit(needy: _Stated, side: _Side, other: _Stated) -> str:
    needed = needy.targets[0] if side == "targets" else needy.input
    assert needed is not None
    there = other.targets if side == "targets" else (other.input,) if other.input else ()
    names = [one.__name__ for one in (needed, *there)]
    if len({*names}) < len(names):  # Two plugins may have facts of one name.
        names = [one.reference() for one in (needed, *there)]
    verb = "states" if other.component.kind == "data" else "answers"
    return f"{needy} needs {names[0]} as {side}; {other} {verb} {' or '.join(names[1:]) or 'none'}"


def _advice(kind: Kind, stated: Mapping[Kind, _Stated], plugins: Plugins) -> str:
    """Which components of a kind fit the others of a recipe, in all that they need and give."""
    rivals = [component for component in plugins.components if component.kind == kind]
    if suited := [component.name for component in rivals if _suits(component, stated, plugins)]:
        return f"{'Data' if kind == 'data' else 'Models'} that fit: {', '.join(suited[:6])}."
    others = [str(other) for other in stated.values() if other.component.kind != kind]
    return f"No installed {kind} fits {' and '.join(others)}; choose another {others[0].partition(' ')[0]}."


def _suits(component: Component, stated: Mapping[Kind, _Stated], plugins: Plugins) -> bool:
    """Whether a component can be used at all, and no fact stands between it and the others."""
    try:
        section_of(component, plugins.owner(component))
        candidate = _state(component, plugins)
    except PluginError:
        return False
    kind = component.kind
    return not any(kind in (needy, other) for needy, _, other in _misfits({**stated, kind: candidate}))


def fact(component: Component, reference: str, plugin: PluginInfo) -> type[Fact]:
    """Import a Fact that a component declares; raises PluginError."""
    found = _light(component, reference, plugin)
    if not (isinstance(found, type) and issubclass(found, Fact)):
        raise PluginError(f"{_unusable(component, reference, plugin)} is not a taskkit.Fact. {TELL_AUTHORS}")
    return found


def section_of(component: Component, plugin: PluginInfo) -> type:
    """Import a component's section and check its fields; raises PluginError."""
    section = _light(component, component.section, plugin)
    what = _unusable(component, component.section, plugin)
    try:
        fault = next(_section_faults(section), None)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise PluginError(f"{what} is not a dataclass of readable types ({why}). {TELL_AUTHORS}") from error
    if fault:
        raise PluginError(f"{what} has {fault} {TELL_AUTHORS}")
    return section  # type: ignore[no-any-return]


def imported(component: Component, reference: str, plugin: PluginInfo) -> Any:
    """Import something that a component declares; raises PluginError, which names the plugin."""
    try:
        with guard("load"):
            return load(reference)
    except Refused as refused:
        what = _unusable(component, reference, plugin)
        cause = refused.__cause__
        # Nobody can install a module that is the plugin's own.
        own = isinstance(cause, ModuleNotFoundError) and f"{reference.partition(':')[0]}.".startswith(f"{cause.name}.")
        advice = TELL_AUTHORS if own else refused.hint or TELL_AUTHORS
        raise PluginError(f"{what} failed to load ({refused.reason}). {advice}") from cause


def _light(component: Component, reference: str, plugin: PluginInfo) -> Any:
    """Import a fact or a section; raises PluginError when that loads torch, for which every check would wait."""
    before = "torch" in sys.modules
    found = imported(component, reference, plugin)
    if "torch" in sys.modules and not before:
        module = reference.partition(":")[0]
        raise PluginError(
            f"{_unusable(component, reference, plugin)} imports torch, for which every check of a recipe would wait. "
            f"What needs torch belongs into another module than {module} and those that it imports. {TELL_AUTHORS}"
        )
    return found


def _unusable(component: Component, reference: str, plugin: PluginInfo) -> str:
    return f"{component.name} cannot be used: {reference} of {plugin}"


# What is wrong with a section.

_SCALARS = (bool, int, float, str, Path, NoneType)
_READABLE = "bool, int, float, str, Path, None, Any, Literal, a dataclass, or list, tuple, Sequence or dict of these"
_BOUNDS = {"gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le}


def _section_faults(section: type, outer: tuple[type, ...] = ()) -> Iterator[str]:
    """What is wrong with the fields of a section, and of those inside it: `a field …, and what to write instead`.

    Raises whatever reading its annotations and making its defaults raise.
    """
    yield from _plain_class_faults(section)
    metadata = {field.name: field.metadata for field in dataclasses.fields(section)}
    for setting in settings(section):
        what, parts = f"the field {section.__qualname__}.{setting.name}", [*_parts(setting.type)]
        nested = [part for part in parts if isinstance(part, type) and dataclasses.is_dataclass(part)]
        if "doc" not in metadata[setting.name] and (setting.required or setting.type not in nested):
            default = "" if setting.required else f"{setting.default!r}, "
            yield f"{what} without setting(). Write `{setting.name}: … = taskkit.setting({default}doc=…)`."
        if unreadable := [part for part in parts if not _is_readable(part)]:
            yield f"{what} of the type {_type_name(unreadable[0])}, which no recipe can hold. Use {_READABLE}."
        yield from (f"{what} {fault}" for fault in _value_faults(setting, parts))
        for inner in nested:
            if inner not in (section, *outer):
                yield from _section_faults(inner, (section, *outer))


def _plain_class_faults(section: type) -> Iterator[str]:
    """Settings of a subclass that is no dataclass itself: they would be no fields."""
    for base in getattr(section, "__mro__", ()):
        for name, value in vars(base).items():
            if isinstance(value, dataclasses.Field):
                what = f"the setting {base.__qualname__}.{name}"
                yield f"{what}, which is no field. Write @dataclass above the class."


def _value_faults(setting: Setting, parts: Sequence[Any]) -> Iterator[str]:
    bounds = ", ".join(f"{name}={limit}" for name, limit in setting.bounds.items())
    if bounds and not any(part in (int, float, Any) for part in parts):
        yield f"of the type {_type_name(setting.type)} with the bounds {bounds}. Only numbers have bounds: remove them."
    default = setting.default
    if setting.required:
        return
    if not _holds(setting.type, default):
        yield f"with the default {default!r:.80}. Expected {_type_name(setting.type)}: correct one of them."
    for number in default if isinstance(default, list | tuple) else [default]:
        if not _is_within(number, setting.bounds):
            yield f"with the default {default!r:.80}. Expected {bounds}: correct one of them."


def _parts(hint: Any) -> Iterator[Any]:
    """The types that unions and collections are made of; what no recipe can hold stays as it is."""
    origin, arguments = get_origin(hint), [argument for argument in get_args(hint) if argument is not ...]
    if origin in (dict, Mapping) and arguments[0] in (str, int):
        yield from _parts(arguments[1])
    elif origin in (Union, UnionType, list, tuple, Sequence) and arguments:
        for argument in arguments:
            yield from _parts(argument)
    else:
        yield hint


def _is_readable(part: Any) -> bool:
    if get_origin(part) is Literal:
        return all(type(choice) in (bool, int, str, NoneType) for choice in get_args(part))
    return part is Any or part in _SCALARS or (isinstance(part, type) and dataclasses.is_dataclass(part))


def _holds(hint: Any, value: Any) -> bool:
    """Whether a value is of a type that a recipe can hold."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_holds(member, value) for member in arguments)
    if origin is Literal:
        return any(choice == value and type(choice) is type(value) for choice in arguments)
    if origin is tuple and arguments[-1] is not ...:
        return isinstance(value, tuple) and len(value) == len(arguments) and all(map(_holds, arguments, value))
    if origin in (list, tuple, Sequence):
        kinds = (list, tuple) if origin is Sequence else origin
        return isinstance(value, kinds) and all(_holds(arguments[0], item) for item in value)
    if origin in (dict, Mapping):
        return isinstance(value, dict) and all(_holds(arguments[1], item) for item in value.values())
    if isinstance(value, bool):
        return hint in (bool, Any)
    return hint is Any or isinstance(value, (int, float) if hint is float else hint)


def _is_within(value: Any, bounds: Mapping[str, float]) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return not number or all(_BOUNDS[name](value, limit) for name, limit in bounds.items())


def _type_name(hint: Any) -> str:
    return hint.__qualname__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")
