"""`taskkit plugins list`: what the metadata of installed packages say of plugins."""

from __future__ import annotations

import json

import click

from taskkit.cli import Context
from taskkit.cli.output import say
from taskkit.cli.table import print_table
from taskkit.plugins import installed
from taskkit.plugins.discovery import choices
from taskkit.plugins.origin import origin

COLUMNS = ("name", "distribution", "version", "allowed", "from")


@click.command(name="list", short_help="List what is installed; imports none of it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(ours: Context, as_json: bool) -> None:
    """List the installed plugins, by their metadata: none of them is imported.

    `allowed`: whether TASKKIT_PLUGINS and the configuration file let it be used. Whether it loads is told by
    `taskkit list plugins`, which loads it.
    """
    found, problems = installed.entry_points()
    allow = choices(ours.no_plugins).allow
    rows = []
    for entry_point in found:
        info = installed.info_of(entry_point)
        place = "" if entry_point.dist is None else origin(entry_point.dist)
        rows.append(
            {
                "name": info.entry_point,
                "distribution": info.distribution,
                "version": info.version,
                "allowed": installed.allowed(info, allow),
                "from": place,
            }
        )
    if as_json:
        say(json.dumps({"plugins": rows}, indent=2))
    else:
        words = [{**row, "allowed": "yes" if row["allowed"] else "no"} for row in rows]
        print_table(COLUMNS, [[str(row[column]) for column in COLUMNS] for row in words], fold=("from",))
    for problem in problems:
        say(f"{problem.plugin}: {problem.reason}. {problem.hint}", err=True)
