"""Generates the reference from the code when the documentation is built, so that it cannot drift."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import taskkit
from taskkit.cli import VERBS, main
from taskkit.cli.group import LazyGroup
from taskkit.contracts.component import KINDS, Component, load
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
    "contracts.component": "Declaring",
    "contracts.hookspecs": "Declaring",
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
    "data.inputs": "Helpers for data",
    "data.quality": "Helpers for data",
    "data.pseudonyms": "Helpers for data",
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
        "reference/python.md": python,
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
