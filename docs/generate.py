"""Generates the reference from the code when the documentation is built, so that it cannot drift."""

from __future__ import annotations

import inspect
import runpy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import taskkit
import taskkit.testing
from taskkit.cli import VERBS, main
from taskkit.cli.group import LazyGroup
from taskkit.contracts import hookspecs
from taskkit.contracts.component import KINDS, Component, load
from taskkit.contracts.deprecation import RETIRED, deprecated
from taskkit.contracts.recipe import SECTIONS, SWITCHED_OFF, root_settings
from taskkit.contracts.settings import Setting, settings, to_plain
from taskkit.plugins.compatibility import section_of
from taskkit.plugins.discovery import Plugins, discover
from taskkit.recipe.coerce import expected
from taskkit.recipe.dump import inline
from taskkit.recipe.interpolate import GROWTH, REFERENCES
from taskkit.recipe.merge import CHANGES, DEPTH, SIZE, VALUES

ROOT = Path(__file__).parents[1]
PLUGINS = {"image", "recsys", "speech", "text"}
HEADINGS = {"task": "Tasks", "model": "Models", "data": "Data"}
ROOMS = {
    "api": "Runs",
    "loaded_run": "Runs",
    "handover.loaded_export": "Exported folders",
    "contracts.arrays": "Exported folders",
    "explanation.explain": "Runs",
    "explanation.value": "Runs",
    "contracts.explained": "Tasks",
    "contracts.component": "Declaring",
    "contracts.hookspecs": "Declaring",
    "contracts.deprecation": "Declaring",
    "contracts.guess": "Declaring",
    "contracts.settings": "Declaring",
    "contracts.facts": "Facts and examples",
    "contracts.data": "Data",
    "contracts.model": "Models",
    "contracts.task": "Tasks",
    "contracts.classification": "Tasks",
    "contracts.regression": "Tasks",
    "contracts.statistics": "Intervals and tests",
    "contracts.weighted": "Intervals and tests",
    "data.sources": "Sources",
    "data.fetch": "Sources",
    "data.splits": "Helpers for data",
    "data.tables": "Helpers for data",
    "data.documents": "Helpers for data",
    "data.files": "Helpers for data",
    "data.memory": "Helpers for data",
    "data.inputs": "Helpers for data",
    "data.quality": "Helpers for data",
    "data.pseudonyms": "Helpers for data",
    "data.userdata": "Helpers for data",
    "cachedir": "Sources",
    "errors": "Errors",
    "wording": "Errors",
}
"""Under which heading of the Python page the public names of a module stand, in this order."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those that lie in docs/."""
    pages: dict[str, Callable[[], Iterator[str]]] = {
        "reference/verbs.md": verbs,
        "reference/recipes.md": recipes,
        "reference/components.md": components,
        "reference/hooks.md": hooks,
        "reference/python.md": python,
        "reference/deprecations.md": deprecations,
    }
    contents = {path: "\n".join(page()) + "\n" for path, page in pages.items()}
    for path, name in (("changes.md", "CHANGELOG.md"), ("contributing.md", "CONTRIBUTING.md")):
        contents[path] = (ROOT / name).read_text().replace("](docs/", "](")
    for path, content in contents.items():
        files.append(File.generated(config, path, content=content))
    return files


def verbs() -> Iterator[str]:
    """The page of every verb's arguments and options."""
    yield "# Verbs\n"
    yield "The thing comes first, changes are `key=value`, how is an option. `python -m taskkit` does the same.\n"
    yield "Exit codes: 0 good, 1 it failed, 2 something must be changed; see [errors](../how-to/errors.md).\n"
    yield from _options(main, click.Context(main, info_name="taskkit"))
    for name in VERBS:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        yield f"\n## {name}\n"
        yield from _verb(command, click.Context(command, info_name=f"taskkit {name}"))
        if isinstance(command, LazyGroup):
            for inner in command.verbs:
                yield f"\n### {name} {inner}\n"
                verb = command.get_command(click.Context(command), inner)
                assert verb is not None
                yield from _verb(verb, click.Context(verb, info_name=f"taskkit {name} {inner}"))
    yield "\n## Environment\n"
    yield from _table(
        ("variable", "meaning"),
        [
            ("`TASKKIT_CACHE`", "where fetched files and encoded samples are kept"),
            (
                "`TASKKIT_CACHE_LIMIT`",
                "how much encoded samples may take, as 20GB, or none; default: 50 GB or a fifth of the disk, if less",
            ),
            (
                "`TASKKIT_PLUGINS`",
                "the plugins to load, by entry point or distribution; empty: none; not set: as the "
                "[configuration file](../how-to/plugins.md#allow-some-only) says, else all",
            ),
            (
                "`TASKKIT_PLUGIN_FILES`",
                "files to use as plugins, with `:` between them (`;` on Windows), as `--plugin` names them",
            ),
            ("`TASKKIT_KEY_FILE`", "the key of runs that are encrypted, as `--key-file` names it"),
        ],
    )


def recipes() -> Iterator[str]:
    """The page of everything that a recipe may say, besides its components."""
    yield "# Recipes\n"
    yield (
        "A recipe is a YAML file of sections. `task`, `model` and `data` name a [component](components.md) and hold "
        "its settings; the other sections are the same for every recipe and may be left out. Files merge from left "
        "to right, then `key=value` changes. A value may refer to another key, as `${optim.lr}`; nothing else is "
        "evaluated.\n"
    )
    yield (
        f"So that any text is checked in seconds, a file has at most {SIZE:,} bytes and {VALUES:,} values in {DEPTH} "
        f"levels; there are at most {CHANGES:,} changes and {REFERENCES} references, which may stand for {GROWTH:,} "
        "characters together.\n"
    )
    yield "## Outside of sections\n"
    yield from _fields(root_settings(), required="the file's name")
    for name, section in SECTIONS.items():
        off = " Off (null) unless the recipe has this section." if name in SWITCHED_OFF else ""
        yield f"\n## {name}\n\n{section.__doc__}{off}\n"
        yield from _fields(settings(section))


def components() -> Iterator[str]:
    """The page of every component of this repository's plugins."""
    plugins = discover(PLUGINS)
    yield "# Components\n"
    yield "Those of the plugins in this repository. `taskkit list` shows all that are installed.\n"
    yield (
        "Data fit a model when their input is what it takes, and a task when one of their targets is what it judges; "
        "the model must answer that too.\n"
    )
    for kind in KINDS:
        yield f"## {HEADINGS[kind]}\n"
        for component in plugins.components:
            if component.kind == kind:
                yield from _component(component, plugins)


def python() -> Iterator[str]:
    """The page of the public Python names, which mkdocstrings fills."""
    yield "# Python\n"
    yield "All of it is imported from `taskkit`. `import taskkit` alone loads no torch.\n"
    for heading in dict.fromkeys(ROOMS.values()):
        yield f"## {heading}\n"
        for name in public_names(heading):
            yield f"::: taskkit.{name}\n"
    yield "## Testing a plugin\n"
    yield "This one is imported from `taskkit.testing`; see [Check a plugin](../how-to/conformance.md).\n"
    for name in taskkit.testing.__all__:
        yield f"::: taskkit.testing.{name}\n"


def hooks() -> Iterator[str]:
    """The page of the hooks: each one's signature, what it is for, and how a plugin of the tests implements it."""
    yield "# Hooks\n"
    yield (
        "A plugin implements one or more of these, marked with `@taskkit.hookimpl`. They are those of the API "
        f'{hookspecs.API_VERSION}: a plugin may state `taskkit_api = ">={hookspecs.API_VERSION},<…"` beside them. An '
        "implementation takes the arguments that it needs, by name, and may leave out the others; it returns something "
        "to iterate over, and may be a generator. How arguments go is said under [Compatibility](compatibility.md). "
        "The examples are those of `tests/packages/taskkit-sound`, which the tests install.\n"
    )
    example = runpy.run_path(str(ROOT / "tests/packages/taskkit-sound/src/taskkit_sound/plugin.py"))
    for name, hook in hookspecs.hooks().items():
        yield f"## {name}\n\n```python\n{name}{_signature(hook)}\n```\n\n{inspect.getdoc(hook)}\n"
        for argument, announced in _arguments_that_go(hook).items():
            yield f"`{argument}`: {announced}\n"
        yield f"```python\nfrom taskkit import hookimpl\n\n\n{inspect.getsource(example[name]).strip()}\n```\n"


def _signature(hook: Callable[..., Any]) -> str:
    return str(inspect.signature(hook)).replace("'", "")


def _arguments_that_go(hook: Callable[..., Any]) -> Mapping[str, Warning]:
    options = getattr(hook, f"{hookspecs.GROUP}_spec")
    return options.get("warn_on_impl_args") or {}


def deprecations() -> Iterator[str]:
    """The page of what will go and what is gone, from the marks in the code."""
    yield "# Deprecations\n"
    yield "What will go, since when, and what to use instead. How it goes is said under "
    yield "[Compatibility](compatibility.md).\n"
    yield "## Announced\n"
    yield from _announced(announced())
    yield "\n## Gone\n"
    yield from _announced({each.what: each.announced for each in RETIRED})


def announced() -> Mapping[str, deprecated]:
    """What is marked in the code: public names and their members, and settings."""
    found: dict[str, deprecated] = {}
    for name in taskkit.__all__:
        public = getattr(taskkit, name)
        members = (
            {f"{name}.{member}": value for member, value in vars(public).items()} if inspect.isclass(public) else {}
        )
        for what, thing in {name: public, **members}.items():
            # A class gives its mark to those that inherit from it, which stay.
            if isinstance(mark := getattr(thing, "__dict__", {}).get("__deprecation__"), deprecated):
                found[what] = mark
    plugins = discover(PLUGINS)
    sections = {**SECTIONS, **{each.name: section_of(each, plugins.owner(each)) for each in plugins.components}}
    for name, section in sections.items():
        found |= {f"{name}.{each.name}": each.announced for each in settings(section) if each.announced is not None}
    return found


def _announced(found: Mapping[str, deprecated]) -> Iterator[str]:
    if not found:
        yield "Nothing.\n"
        return
    rows = [(f"`{what}`", each.since, each.until, each.instead) for what, each in found.items()]
    yield from _table(("what", "announced in", "goes with", "instead"), rows)


def public_names(heading: str) -> list[str]:
    """The public names that stand under a heading."""
    homes: Mapping[str, Sequence[str]] = taskkit._HOMES
    return sorted(name for home, names in homes.items() if ROOMS[home] == heading for name in names)


def _verb(command: click.Command, context: click.Context) -> Iterator[str]:
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{context.info_name} {usage}\n```\n"
    yield f"{inspect.cleandoc(command.help or '')}\n"
    yield from _options(command, context)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    options = [parameter for parameter in command.get_params(context) if isinstance(parameter, click.Option)]
    records = [option.get_help_record(context) for option in options]
    yield from _table(("option", "meaning"), [(f"`{option}`", help_) for option, help_ in filter(None, records)])


def _component(component: Component, plugins: Plugins) -> Iterator[str]:
    facts = {"Input": [component.input], "Target" if len(component.targets) == 1 else "Targets": component.targets}
    said = [
        f"{label}: {', '.join(f'`{_name(fact)}`' for fact in given)}." for label, given in facts.items() if given[0]
    ]
    yield f"### {component.name}\n\n{_sentence(component.summary)}\n"
    yield f"{' '.join(said)} From {plugins.owner(component)}.\n"
    section = section_of(component, plugins.owner(component))
    yield from _fields(settings(section))
    if component.kind == "data":
        yield f"\n{_sentence(load(component.implementation).__doc__)}"
    yield ""


def _fields(fields: Sequence[Setting], required: str = "required") -> Iterator[str]:
    if not fields:
        yield "It has no settings.\n"
        return
    rows = [
        (
            f"`{field.name}`",
            required if field.required else f"`{inline(to_plain(field.default))}`",
            expected(field),
            field.doc,
        )
        for field in fields
    ]
    yield from _table(("setting", "default", "value", "meaning"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _row(head)
    yield _row(["---"] * len(head))
    for row in rows:
        yield _row(row)


def _row(cells: Sequence[Any]) -> str:
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"


def _name(fact: str) -> str:
    return fact.rpartition(":")[2]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}."
