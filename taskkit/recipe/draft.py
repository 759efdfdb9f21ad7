"""A recipe in the making: merged values put into their sections, and everything that is wrong on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

from taskkit.contracts.component import KINDS, Component, Kind
from taskkit.contracts.recipe import Key
from taskkit.contracts.settings import Setting, settings, to_plain
from taskkit.errors import PluginError
from taskkit.plugins.compatibility import section_of
from taskkit.recipe import interpolate
from taskkit.recipe.coerce import SUGGESTED, Misfit, to_section, to_value
from taskkit.recipe.merge import DEFAULT, Tree, dotted
from taskkit.wording import did_you_mean, shown

if TYPE_CHECKING:
    from taskkit.plugins.discovery import Plugins


@dataclass(frozen=True)
class Form:
    """What a recipe consists of, besides its components."""

    roots: tuple[Setting, ...]
    """Values outside of any section."""
    sections: Mapping[str, type]
    off: frozenset[str]
    """Sections that are null unless they are given."""
    switches: frozenset[str]
    """Sections that may be a list of names."""
    defaults: dict[str, Any]
    """Values of required roots that are left out."""

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that may stand at the left margin of a recipe."""
        return (*(root.name for root in self.roots), *KINDS, *self.sections)


class Draft:
    """Values of a tree as typed `parts`, the `components` that they name, and the `problems` of the rest."""

    def __init__(self, tree: Tree, plugins: Plugins, form: Form) -> None:
        self.tree = tree
        self.plugins = plugins
        self.form = form
        self.problems: list[tuple[Key, str]] = []
        self.components: dict[Kind, Component] = {}
        self.parts: dict[str, Any] = {}
        sections = {name: (section, f"the {name} section") for name, section in form.sections.items()}
        sections |= dict(self._component_sections())
        self._refuse_unknown()
        self._refuse_other_than_mappings()
        self._fill({name: section for name, (section, _) in sections.items()})
        broken = interpolate.resolve(tree)
        self.problems += broken
        self._convert(sections, {key for key, _ in broken})
        tree.notes += self._announced(sections)
        self._refuse_numbers_as_text()

    def _component_sections(self) -> Iterator[tuple[str, tuple[type, str]]]:
        for kind in KINDS:
            values = self.tree.values.get(kind)
            if values is not None and not isinstance(values, dict):
                self.problems.append(((kind,), f"{kind} is {shown(values)}. {self._write(kind, values)}"))
            elif not values or values.get("name") is None:
                missing = f"the recipe has no {kind}" if values is None else f"{kind}.name is missing"
                self.problems.append(((kind,), f"{missing}. {self._write(kind)}"))
            else:
                try:
                    component = self.plugins.find(kind, str(values["name"]))
                    yield kind, (section_of(component, self.plugins.owner(component)), component.name)
                    self.components[kind] = component
                except PluginError as error:
                    self.problems.append(((kind, "name"), " ".join(str(error).split())))

    def _write(self, kind: Kind, given: Any = None) -> str:
        """How a component is named, in a file or a change, and which there are; `given`: what stands there."""
        names = [component.name for component in self.plugins.components if component.kind == kind]
        name, changed = given if isinstance(given, str) else "…", self.tree.where((kind,)).startswith("override")
        form = f"{kind}.name={name}" if changed else f"`{kind}: {{name: {name}}}`"
        if name in names:
            return f"Write {form}."
        known = f"one of {', '.join(names)}" if names else "no installed plugin brings one"
        return f"Write {form}; {known}."

    def _refuse_unknown(self) -> None:
        names = self.form.names
        unknown = [name for name in self.tree.values if name not in names]
        for name in unknown:
            near = (self._in_section(name) or did_you_mean(name, names)) if len(unknown) <= SUGGESTED else ""
            advice = near or f" A recipe has {', '.join(names)}."
            self.problems.append(((name,), f"{name} is not a section of a recipe.{advice}"))

    def _in_section(self, name: str) -> str:
        """Where a field that stands outside of its section belongs."""
        homes = [f"{home}.{name}" for home, section in self.form.sections.items() if name in _fields(section)]
        return f" Did you mean {homes[0]!r}?" if homes and name != "name" else ""

    def _refuse_other_than_mappings(self) -> None:
        for name in self.form.sections:
            value = self.tree.values.get(name, {})
            if isinstance(value, dict) or (value is None and name in self.form.off):
                continue
            listed = ", or a list of those that are on, each once" if name in self.form.switches else ""
            message = f"{name} is {shown(value)}. Expected a mapping of its fields{listed}. "
            self.problems.append(((name,), message + "Leave it out for the defaults."))
            del self.tree.values[name]

    def _fill(self, sections: Mapping[str, type]) -> None:
        defaults = {root.name: root.default for root in self.form.roots} | self.form.defaults
        for name, section in sections.items():
            on = name not in self.form.off or self.tree.values.get(name) is not None
            defaults[name] = _defaults(section) if on else None
        self.tree.under(defaults)

    def _convert(self, sections: Mapping[str, tuple[type, str]], broken: set[Key]) -> None:
        values = self.tree.values
        for root in self.form.roots:
            key = (root.name,)
            self._keep(key, broken, partial(to_value, values[root.name], root, key))
        for name, (section, what) in sections.items():
            if values[name] is None:
                self.parts[name] = None
            else:
                fields = {k: v for k, v in values[name].items() if k != "name" or name not in KINDS}
                self._keep((name,), broken, partial(to_section, section, fields, (name,), what))

    def _announced(self, sections: Mapping[str, tuple[type, str]]) -> Iterator[str]:
        """What a recipe gives and should no longer, with its place."""
        settled: list[tuple[Key, Setting]] = [((root.name,), root) for root in self.form.roots]
        settled += [at for name, (section, _) in sections.items() for at in _settings((name,), section)]
        for key, each in settled:
            given = [origin for origin in self.tree.origins.get(key, ()) if origin.where != DEFAULT]
            if given and each.announced is not None:
                yield f"{given[-1].where}: {each.announced.words(dotted(key))}"

    def _refuse_numbers_as_text(self) -> None:
        """A text field takes a whole number as it is written; `1_000` would be another text than stands there."""
        for key, origins in self.tree.origins.items():
            written = origins[-1].text
            if written and isinstance(_at(self.parts, key), str):
                message = f"{dotted(key)} is {written}, which is a number. Expected text. Put it in quotes."
                self.problems.append((key, message))

    def _keep(self, key: Key, broken: set[Key], convert: Callable[[], Any]) -> None:
        """Keep a part that is whole; what a broken reference left behind is no further problem."""
        try:
            part = convert()
        except Misfit as misfit:
            self.problems += [(at, message) for at, message in misfit.problems if at not in broken]
            part = misfit.section
        if part is not None and not any(at[: len(key)] == key for at in broken):
            self.parts[key[0]] = part


def _settings(at: Key, section: type, outer: tuple[type, ...] = ()) -> Iterator[tuple[Key, Setting]]:
    """The fields of a section, and of the sections inside it, by key."""
    for each in settings(section):
        yield (*at, each.name), each
        for part in (each.type, *get_args(each.type)):
            if isinstance(part, type) and is_dataclass(part) and part not in (section, *outer):
                yield from _settings((*at, each.name), part, (section, *outer))


def _at(value: Any, key: Key) -> Any:
    """What stands at a key below a part; None: nothing does."""
    for name in key:
        if isinstance(value, Mapping):
            value = value.get(name)
        elif isinstance(value, list | tuple):
            value = value[int(name)] if name.isdecimal() and int(name) < len(value) else None
        else:
            value = getattr(value, name, None)
    return value


def _fields(section: type) -> set[str]:
    return {setting.name for setting in settings(section)}


def _defaults(section: type) -> dict[str, Any]:
    """The default values of a section as plain data, without the fields that a recipe must give."""
    return {setting.name: to_plain(setting.default) for setting in settings(section) if not setting.required}
