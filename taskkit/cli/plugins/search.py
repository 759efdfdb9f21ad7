"""`taskkit plugins search`: plugins that are published, from the listing in this installation."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from taskkit.cli.output import say
from taskkit.cli.table import print_table
from taskkit.plugins import health
from taskkit.plugins.index import read_index

COLUMNS = ("name", "level", "installed", "tested", "summary")
NO_LEVEL = "no level computed"


@click.command(name="search", short_help="Find published plugins in the listing, offline.")
@click.argument("words", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(words: tuple[str, ...], as_json: bool) -> None:
    """Find the published plugins that have each of WORDS in their name, summary or components; without one, all.

    The listing is that of this version of taskkit; nothing is fetched.
    """
    found = [entry for entry in read_index() if all(entry.has(word) for word in words)]
    if as_json:
        rows = [{**asdict(entry), "installed": health.version(entry.name) or None} for entry in found]
        say(json.dumps({"plugins": rows}, indent=2, ensure_ascii=False))
        return
    if not found:
        say(f"No published plugin has {' and '.join(map(repr, words))}.", err=True)
    cells = [
        (each.name, each.level or NO_LEVEL, _installed(each.name), f"taskkit-ml {', '.join(each.tested)}", each.summary)
        for each in found
    ]
    print_table(COLUMNS, cells, fold=("summary",))


def _installed(name: str) -> str:
    version = health.version(name)
    return f"{version} installed" if version else "not installed"
