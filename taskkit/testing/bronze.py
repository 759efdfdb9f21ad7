"""Bronze: the plugin loads fast and without torch, and what it declares is whole, described and its own."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

from taskkit.contracts.component import KINDS, Component, Kind, RecipeFile
from taskkit.contracts.data import DataModule
from taskkit.contracts.model import Model
from taskkit.contracts.settings import settings
from taskkit.contracts.task import Task
from taskkit.errors import PluginError, RecipeError
from taskkit.plugins.compatibility import fact, imported, section_of
from taskkit.recipe.load import load
from taskkit.recipe.merge import file_layer
from taskkit.testing.alone import loaded
from taskkit.testing.seen import NotRun, Seen
from taskkit.testing.subject import Subject

MILLISECONDS = 150
"""Of CPU time, beyond what the host takes alone."""
TIMES = 3
"""How often loading is measured: the least counts, since the first time reads files from the disk."""
CLASSES: dict[Kind, type] = {"task": Task, "model": Model, "data": DataModule}


def loads(subject: Subject) -> Seen:
    """Whether discovery lets the plugin in, where torch was not imported before."""
    if faults := loaded(subject.distribution).faults:
        return Seen("; ".join(faults), " ".join(dict.fromkeys(faults.values())), [*faults])
    if not subject.infos:
        raise NotRun("the plugin is switched off", "Add it to TASKKIT_PLUGINS, or leave out --no-plugins.")
    names = ", ".join(info.entry_point for info in subject.infos)
    return Seen(f"{names} loads, without torch, with {len(subject.components)} components")


def light(subject: Subject) -> Seen:
    """Whether loading it takes little time."""
    _loaded(subject)
    least = min((loaded(subject.distribution) for _ in range(TIMES)), key=lambda each: each.milliseconds)
    said = f"{least.milliseconds:.0f} ms of CPU time beyond the host's"
    if least.milliseconds <= MILLISECONDS:
        return Seen(said)
    return Seen(
        f"{said}; it imports {', '.join(least.packages) or 'no other package'}",
        f"At most {MILLISECONDS} ms are expected, since every command waits for it. Import what is heavy inside the "
        "functions that need it, or in the modules of implementations.",
    )


def declared(subject: Subject) -> Seen:
    """Whether what the components name exists and is what the contracts want."""
    _loaded(subject)
    faults = [fault for component in subject.components for fault in _declared_faults(subject, component)]
    if faults:
        return Seen("; ".join(faults), "Mend the declaration, or what it names.", [*faults])
    counts = [(kind, sum(each.kind == kind for each in subject.components)) for kind in KINDS]
    return Seen(", ".join(f"{count} {kind}" for kind, count in counts) + ", with their sections and facts")


def described(subject: Subject) -> Seen:
    """Whether a person is told what every section, field and fact is."""
    _loaded(subject)
    faults = dict.fromkeys(fault for component in subject.components for fault in _silent(subject, component))
    if faults:
        return Seen(
            f"nothing is said of {', '.join(faults)}",
            "Write a docstring for each section and fact, and `taskkit.setting(…, doc=…)` for each field.",
            [*faults],
        )
    return Seen("every section, field and fact says what it is")


def recipes(subject: Subject) -> Seen:
    """Whether each recipe that is shipped, and each that it is tried by, has no problems.

    A shipped recipe may leave settings to its user.
    """
    _loaded(subject)
    wrong: list[str] = []
    for shipped in subject.shipped:
        try:
            load([shipped.path], [], subject.plugins)
        except RecipeError as error:
            left = set(_left(subject, shipped))
            wrong += [f"{shipped.name}: {each}" for each in error.problems if each.key not in left]
    named = subject.declared.recipes
    wrong += [
        f"{name} of conformance.yaml: {tried.problem}"
        for name, tried in subject.tried.items()
        if name in named and tried.problem
    ]
    if wrong:
        return Seen("; ".join(wrong), "`taskkit check NAME` shows it; mend the recipe.", wrong)
    return Seen(f"{len({*named, *(each.name for each in subject.shipped)})} recipes have no problems")


def names(subject: Subject) -> Seen:
    """Whether no other plugin declares the same."""
    _loaded(subject)
    if wrong := [each for each in subject.problems if each.stage == "clash"]:
        return Seen("; ".join(each.reason for each in wrong), " ".join(dict.fromkeys(each.hint for each in wrong)))
    return Seen("nothing is declared twice among the plugins that are installed here")


def _loaded(subject: Subject) -> None:
    """Raise NotRun where the plugin is not in use."""
    if not subject.infos:
        raise NotRun("the plugin does not load", "Mend what `loads` says first.")


def _declared_faults(subject: Subject, component: Component) -> Iterator[str]:
    owner = subject.plugins.owner(component)
    needed = [component.input] if component.input else []
    for reference in (*needed, *component.targets):
        try:
            fact(component, reference, owner)
        except PluginError as error:
            yield str(error)
    try:
        section_of(component, owner)
        implementation = imported(component, component.implementation, owner)
        for reference in component.statistics:
            imported(component, reference, owner)
    except PluginError as error:
        yield str(error)
        return
    kind = CLASSES[component.kind]
    if not (isinstance(implementation, type) and issubclass(implementation, kind)):
        yield f"{component.name}: {component.implementation} is no taskkit.{kind.__name__}"
    elif missing := sorted(getattr(implementation, "__abstractmethods__", ())):
        yield f"{component.name}: {implementation.__name__} has no `{'`, `'.join(missing)}`"
    elif issubclass(implementation, Task):
        yield from _headline_faults(component, implementation)


def _headline_faults(component: Component, task: type[Task]) -> Iterator[str]:
    headline = getattr(task, "headline", None)
    if headline is None:
        yield f"{component.name}: {task.__name__} has no `headline`"
    elif component.metrics and component.direction(headline.metric) != headline.direction:
        yield (
            f"{component.name}: its headline is {headline.metric} ({headline.direction}), which its declared metrics "
            f"({', '.join(component.metrics)}) do not name so"
        )


def _silent(subject: Subject, component: Component) -> Iterator[str]:
    """What of a component's sections and facts says nothing of itself."""
    owner = subject.plugins.owner(component)
    with contextlib.suppress(PluginError):  # `declared` tells of it.
        for section in (section_of(component, owner), *_options(subject, component)):
            yield from _silent_class(section)
            for each in settings(section):
                if not each.doc.strip() and not dataclasses.is_dataclass(each.type):
                    yield f"{section.__qualname__}.{each.name}"
        for reference in filter(None, (component.input, *component.targets)):
            yield from _silent_class(fact(component, reference, owner))


def _options(subject: Subject, component: Component) -> Iterator[type]:
    """What a task takes to answer."""
    if component.kind == "task":
        yield imported(component, component.implementation, subject.plugins.owner(component)).predict_options


def _silent_class(described: type) -> Iterator[str]:
    # A dataclass without a docstring gets its signature for one, any other class that of its base.
    text = (described.__doc__ or "") if "__doc__" in vars(described) else ""
    if not text.strip() or text.startswith(f"{described.__name__}("):
        yield described.__qualname__


def _left(subject: Subject, shipped: RecipeFile) -> Iterator[str]:
    """The keys that a recipe leaves to its user: required settings that it does not give."""
    values = file_layer(str(shipped.path), shipped.path.read_bytes()).values
    for kind in KINDS:
        given = values.get(kind)
        if isinstance(given, dict) and "name" in given:
            component = subject.plugins.find(kind, str(given["name"]))
            for each in settings(section_of(component, subject.plugins.owner(component))):
                if each.required and each.name not in given:
                    yield f"{kind}.{each.name}"
