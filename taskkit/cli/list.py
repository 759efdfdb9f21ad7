"""`taskkit list`: what there is to use, and which plugins are broken."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskkit.cli import Context
from taskkit.cli.output import say
from taskkit.cli.table import aligned, print_table

if TYPE_CHECKING:
    from taskkit.contracts.component import Kind, PluginInfo
    from taskkit.plugins.discovery import Plugins
    from taskkit.plugins.guard import PluginProblem

Row = Mapping[str, str]
KIND_OF: dict[str, Kind] = {"tasks": "task", "models": "model", "data": "data"}
NO_RECIPE = (
    "There is no recipe: none lies in the folder recipes/ here, and no installed plugin brings one. Call taskkit in a "
    "checkout, or write a recipe, which names a task, a model and data of `taskkit list`; `taskkit show NAME` tells "
    "the settings of each."
)
COLUMNS = {
    "recipes": ("name", "title", "distribution"),
    **dict.fromkeys(KIND_OF, ("name", "summary", "distribution", "version")),
    "plugins": ("name", "distribution", "version", "status", "reason", "hint"),
}


@click.command
@click.argument("what", type=click.Choice([*COLUMNS]), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(context: Context, what: str | None, as_json: bool) -> None:
    """List recipes, tasks, models, data and plugins."""
    plugins = context.plugins
    wanted = [what] if what else [*COLUMNS]
    sections = {section: _rows(section, plugins) for section in wanted}
    if as_json:
        say(json.dumps(sections, indent=2))
    else:
        _print(sections)
    if not as_json and not sections.get("recipes", ["not asked"]):
        say(NO_RECIPE, err=True)
    if plugins.problems and "plugins" not in sections:
        say("Some plugins have problems: taskkit list plugins", err=True)


def _rows(section: str, plugins: Plugins) -> list[Row]:
    if section == "recipes":
        return _recipes(plugins)
    if section == "plugins":
        return _plugins(plugins)
    components = [component for component in plugins.components if component.kind == KIND_OF[section]]
    owners = [plugins.owner(component) for component in components]
    return [
        {"name": c.name, "summary": c.summary, "distribution": o.distribution, "version": o.version}
        for c, o in zip(components, owners, strict=True)
    ]


def _recipes(plugins: Plugins) -> list[Row]:
    """Those in ./recipes, then those shipped by plugins."""
    own = sorted(path for path in Path("recipes").glob("*") if path.suffix in (".yaml", ".yml") and path.is_file())
    found = [(path.as_posix(), path, "") for path in own]
    found += [(recipe.name, recipe.path, plugins.owner(recipe).distribution) for recipe in plugins.recipes()]
    return [
        {"name": name, "title": _title(path), "distribution": distribution, "path": str(path)}
        for name, path, distribution in found
    ]


def _title(path: Path) -> str:
    """What a recipe's first comment says after its name, else its `title:`."""
    text = path.read_text(encoding="utf-8", errors="replace")
    comment = re.match(rf"\s*#\s*(?:{re.escape(path.name)}\s*[—:-]+\s*)?(.*\S)", text)
    title = comment or re.search(r"^title:\s*(.*\S)", text, re.MULTILINE)
    return title[1].strip("\"'") if title else ""


def _plugins(plugins: Plugins) -> list[Row]:
    """One row for each plugin that works or is switched off, and one for each problem."""
    troubled = {problem.plugin for problem in plugins.problems}
    rows = [_plugin(info, "ok") for info in plugins.plugins if info not in troubled]
    rows += [_plugin(info, "off") for info in plugins.off]
    for problem in plugins.problems:
        status = "conflict" if problem.plugin in plugins.plugins else "broken"
        rows.append(_plugin(problem, status, problem.stage, problem.reason, problem.hint))
    return sorted(rows, key=lambda row: (row["name"], row["distribution"]))


def _plugin(info: PluginInfo | PluginProblem, status: str, stage: str = "", reason: str = "", hint: str = "") -> Row:
    return {
        "name": info.entry_point,
        "distribution": info.distribution,
        "version": info.version,
        "status": status,
        "stage": stage,
        "reason": reason,
        "hint": hint,
    }


def _print(sections: Mapping[str, Sequence[Row]]) -> None:
    """Tables on a terminal, else lines; under headings when there are several sections."""
    for number, (section, rows) in enumerate(sections.items()):
        cells = [[row[column] for column in COLUMNS[section]] for row in rows]
        if sys.stdout.isatty():
            click.secho(section, bold=True)
            print_table(COLUMNS[section], cells, fold=("title", "summary", "distribution", "reason", "hint"))
            if not rows:
                say("none")
        elif len(sections) == 1:
            print_table(COLUMNS[section], cells)
        else:
            lines = aligned(cells) or ["none"]
            say("\n".join([*([""] if number else []), section, *(f"  {line}" for line in lines)]))
