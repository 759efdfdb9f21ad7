"""What components declare, imported without torch, and whether a task, a model and data fit each other."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskkit.contracts.component import KINDS, Component, Kind, load
from taskkit.contracts.facts import Fact, SelfSupervised
from taskkit.contracts.settings import settings
from taskkit.errors import PluginError

if TYPE_CHECKING:
    from taskkit.contracts.recipe import Key
    from taskkit.plugins.discovery import Plugins

Found = Iterator[tuple["Key", str]]
"""Keys of a recipe and what is wrong with their values."""


def fits(components: Mapping[Kind, Component], plugins: Plugins) -> Found:
    """Whether data state the facts that task and model need, by their declarations alone."""
    stated: dict[Kind, _Stated] = {}
    for kind, component in components.items():
        try:
            stated[kind] = _state(component, plugins)
        except PluginError as error:
            yield (kind, "name"), str(error)
    task, model, data = (stated.get(kind) for kind in KINDS)
    if task and data:
        yield from _task_fits_data(task, data, plugins)
    if model and data:
        yield from _input_fits(model, data, plugins)
    if task and model and not any(issubclass(task.targets[0], answer) for answer in model.targets):
        yield ("model", "name"), _misfit(task, "targets", model, plugins)


@dataclass(frozen=True)
class _Stated:
    """A component with its facts imported."""

    component: Component
    input: type[Fact] | None
    targets: tuple[type[Fact], ...]


def _state(component: Component, plugins: Plugins) -> _Stated:
    needed = fact(component, component.input, plugins) if component.input else None
    return _Stated(component, needed, tuple(fact(component, name, plugins) for name in component.targets))


def _task_fits_data(task: _Stated, data: _Stated, plugins: Plugins) -> Found:
    """Data may state more than is asked, and a task may make its targets of the inputs alone."""
    asked = task.targets[0]
    if not issubclass(asked, SelfSupervised) and not any(issubclass(one, asked) for one in data.targets):
        yield ("data", "name"), _misfit(task, "targets", data, plugins)
    yield from _input_fits(task, data, plugins)


def _input_fits(needy: _Stated, data: _Stated, plugins: Plugins) -> Found:
    if needy.input and not (data.input and issubclass(data.input, needy.input)):
        yield ("data", "name"), _misfit(needy, "inputs", data, plugins)


def _misfit(needy: _Stated, side: str, other: _Stated, plugins: Plugins) -> str:
    one, two = needy.component, other.component
    needed = one.targets[0] if side == "targets" else one.input
    facts = two.targets if side == "targets" else (two.input,)
    stated = " or ".join(_short(reference) for reference in facts) or "none"
    verb = "states" if two.kind == "data" else "answers"
    suited = [
        component.name
        for component in plugins.components
        if component.kind == two.kind and needed in (component.targets if side == "targets" else (component.input,))
    ]
    known = f"{'Data' if two.kind == 'data' else 'Models'} that fit: {', '.join(suited[:6])}."
    advice = known if suited else f"No installed {two.kind} does; choose another {one.kind}."
    needs = f"{one.kind} {one.name} needs {_short(needed)} as {side}"
    return f"{needs}; {two.kind} {two.name} {verb} {stated}. {advice}"


def _short(reference: str) -> str:
    return reference.rpartition(":")[2]


def fact(component: Component, reference: str, plugins: Plugins) -> type[Fact]:
    """Import a Fact that a component declares; raises PluginError."""
    found = imported(component, reference, plugins)
    if not (isinstance(found, type) and issubclass(found, Fact)):
        raise PluginError(f"{_unusable(component, reference, plugins)} is not a taskkit.Fact. Tell its authors.")
    return found


def section_of(component: Component, plugins: Plugins) -> type:
    """Import a component's section; raises PluginError."""
    section = imported(component, component.section, plugins)
    try:
        settings(section)
    except Exception as error:
        what = _unusable(component, component.section, plugins)
        why = f"{type(error).__name__}: {error}"
        raise PluginError(f"{what} is not a dataclass of readable types ({why}). Tell its authors.") from error
    return section  # type: ignore[no-any-return]


def imported(component: Component, reference: str, plugins: Plugins) -> Any:
    """Import something that a component declares; raises PluginError, which names the plugin."""
    try:
        return load(reference)
    except Exception as error:
        package = ((isinstance(error, ModuleNotFoundError) and error.name) or "").partition(".")[0]
        absent = package and importlib.util.find_spec(package) is None
        advice = f"Try: pip install {package}" if absent else "Tell its authors."
        what = _unusable(component, reference, plugins)
        raise PluginError(f"{what} failed to load ({type(error).__name__}: {error}). {advice}") from error


def _unusable(component: Component, reference: str, plugins: Plugins) -> str:
    return f"{component.name} cannot be used: {reference} of {plugins.owner(component)}"
