"""`taskkit show`: a component's fields, or a resolved recipe and where its values came from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskkit.cli.output import say
from taskkit.cli.recipe_verb import RecipeVerb

if TYPE_CHECKING:
    from taskkit.cli import Context
    from taskkit.contracts.component import Component
    from taskkit.contracts.settings import Setting
    from taskkit.plugins.discovery import Plugins
    from taskkit.recipe.load import Resolved
    from taskkit.recipe.merge import Origin


@click.command(name="show", cls=RecipeVerb)
@click.argument("words", nargs=-1, required=True, metavar="NAME|RECIPE… [KEY=VALUE…]")
@click.option("--why", metavar="KEY", help="Say which file, line or change set a key, and what it replaced.")
@click.option("--drift", is_flag=True, help="Say what has changed between a copy of a recipe and its original.")
@click.option("--schema", is_flag=True, help="Print a JSON Schema for editors.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(context: Context, words: Sequence[str], why: str | None, drift: bool, schema: bool, as_json: bool) -> None:
    """Show a component's or a section's fields, or a recipe as it is after all files and changes."""
    from taskkit.contracts.recipe import SECTIONS

    plugins, name = context.plugins, words[0]
    if drift:
        if why or schema or len(words) > 1:
            raise click.UsageError("--drift is about one copy of a recipe: it goes with --json alone.")
        _drift(Path(name), plugins, as_json)
        return
    components = [component for component in plugins.components if component.name == name]
    if Path(name).exists() or not (components or name in SECTIONS):
        say(_recipe(words, plugins, why, schema, as_json).rstrip("\n"))
        return
    if why or len(words) > 1:
        raise click.UsageError(f"{name} is not a recipe: it takes no changes and no --why.")
    if components:
        show: Callable[..., str] = _schema_of_component if schema else _component
        say("\n".join(show(component, plugins, as_json) for component in components))
    else:
        say(_section(name, SECTIONS[name], schema, as_json))


def _drift(copy: Path, plugins: Plugins, as_json: bool) -> None:
    from taskkit.cli.table import print_table
    from taskkit.recipe.copies import drift
    from taskkit.wording import shown

    found = drift(copy, plugins)
    if as_json:
        keys = {key: {"yours": yours, "original": theirs} for key, (yours, theirs) in found.keys.items()}
        plain = {"name": found.original.name, "then": found.original.owner, "now": found.owner}
        say(_dump({**plain, "original_changed": found.changed, "keys": keys}))
        return
    what = "the original has changed since" if found.changed else "the original is what it was"
    now = f" (now {found.owner})" if found.owner != found.original.owner else ""
    say(f"{copy}: from {found.original.name}, {found.original.owner}; {what}{now}.", err=True)
    rows = [(key, shown(yours), shown(theirs)) for key, (yours, theirs) in found.keys.items()]
    if rows:
        print_table(("key", "yours", "original"), rows, fold=("yours", "original"))
    else:
        say("Both come to the same.")


def _component(component: Component, plugins: Plugins, as_json: bool) -> str:
    from taskkit.contracts.settings import settings
    from taskkit.plugins.compatibility import section_of

    fields = settings(section_of(component, plugins.owner(component)))
    facts = [reference.rpartition(":")[2] for reference in (component.input, *component.targets) if reference]
    if as_json:
        about = {"kind": component.kind, "name": component.name, "summary": component.summary}
        owner = {"plugin": str(plugins.owner(component)), "facts": facts}
        return _dump({**about, **owner, "fields": [_described(field) for field in fields]})
    lines = [
        f"{component.kind} {component.name} — {component.summary}",
        f"from {plugins.owner(component)}; facts: {', '.join(facts)}",
        "",
        f"{component.kind}:",
        f"  name: {component.name}",
    ]
    return "\n".join([*lines, *map(_line, fields)])


def _section(name: str, section: type, schema: bool, as_json: bool) -> str:
    from taskkit.contracts.settings import settings

    if schema:
        from taskkit.recipe.schema import DIALECT, section_schema

        return _dump({"$schema": DIALECT, **section_schema(section)})
    fields = settings(section)
    if as_json:
        return _dump({"name": name, "summary": section.__doc__, "fields": [_described(f) for f in fields]})
    return "\n".join([f"section {name} — {section.__doc__}", "", f"{name}:", *map(_line, fields)])


def _schema_of_component(component: Component, plugins: Plugins, as_json: bool) -> str:
    from taskkit.plugins.compatibility import section_of
    from taskkit.recipe.schema import DIALECT, section_schema

    return _dump({"$schema": DIALECT, **section_schema(section_of(component, plugins.owner(component)))})


def _recipe(words: Sequence[str], plugins: Plugins, why: str | None, schema: bool, as_json: bool) -> str:
    from taskkit.recipe.load import load, split

    files, overrides = split(words)
    if len(files) == 1:
        _refuse_unknown(files[0], plugins)
    resolved = load(files, overrides, plugins)
    for note in resolved.notes:
        say(note, err=True)
    if schema:
        return _dump(_recipe_schema(resolved))
    if why:
        return _why(resolved.why(why), as_json)
    return _dump(resolved.plain()) if as_json else resolved.to_yaml()


def _refuse_unknown(name: str, plugins: Plugins) -> None:
    """Suggest components too for a name that is no recipe's."""
    from taskkit.contracts.recipe import SECTIONS
    from taskkit.errors import PluginError, RecipeError
    from taskkit.recipe.load import find
    from taskkit.wording import did_you_mean

    try:
        find(name, plugins)
    except RecipeError:
        recipes = [recipe.name for recipe in plugins.recipes()]
        names = [component.name for component in plugins.components]
        near = did_you_mean(name, [*names, *recipes, *SECTIONS])
        if near:
            raise PluginError(f"There is no recipe, component or section named {name!r}.{near}") from None
        raise


def _recipe_schema(resolved: Resolved) -> dict[str, Any]:
    from taskkit.contracts.component import KINDS
    from taskkit.recipe.schema import recipe_schema

    recipe = resolved.recipe
    chosen = recipe.chosen()
    names = {kind: chosen[kind].name for kind in KINDS}
    return recipe_schema(names, {kind: type(chosen[kind].section) for kind in KINDS})


def _why(origins: Mapping[str, Sequence[Origin]], as_json: bool) -> str:
    from taskkit.wording import shown

    if as_json:
        return _dump({key: [{"where": o.where, "value": o.value} for o in all_] for key, all_ in origins.items()})
    lines = []
    for key, given in origins.items():
        *before, last = given
        lines.append(f"{key} is {shown(last.value)}: {last.where}")
        lines += [f"  instead of {shown(origin.value)}: {origin.where}" for origin in reversed(before)]
    return "\n".join(lines)


def _described(field: Setting) -> dict[str, Any]:
    from taskkit.contracts.settings import to_plain
    from taskkit.recipe.coerce import describe

    default = {} if field.required else {"default": to_plain(field.default)}
    type_ = {"name": field.name, "type": describe(field.type), "required": field.required}
    return {**type_, **default, "bounds": dict(field.bounds), "doc": field.doc}


def _line(field: Setting) -> str:
    from taskkit.contracts.settings import to_plain
    from taskkit.recipe.coerce import expected
    from taskkit.recipe.dump import inline

    default = "…" if field.required else inline(to_plain(field.default))
    required = "required; " if field.required else ""
    doc = f"; {field.doc}" if field.doc else ""
    return f"  {f'{field.name}: {default}':<30}  # {required}{expected(field)}{doc}"


def _dump(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
