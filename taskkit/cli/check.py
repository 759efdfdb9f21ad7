"""`taskkit check`: everything that is wrong with a recipe, before any work."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from taskkit.cli import Context
    from taskkit.errors import Problem


@click.command(name="check")
@click.argument("words", nargs=-1, required=True, metavar="RECIPE… [KEY=VALUE…]")
@click.option("--json", "as_json", is_flag=True, help="Print the problems as JSON.")
@click.pass_obj
def command(context: Context, words: Sequence[str], as_json: bool) -> None:
    """Say everything that is wrong with a recipe, before any work.

    Recipe files and overlays are merged from left to right, then the changes. Exit code 2: it has problems.
    """
    from taskkit.errors import RecipeError
    from taskkit.recipe import load, split

    files, overrides = split(words)
    try:
        notes = load(files, overrides, context.plugins).notes
        problems: Sequence[Problem] = ()
    except RecipeError as error:
        notes, problems = (), error.problems
    what = " ".join(files)
    if as_json:
        click.echo(_json(files, notes, problems))
    else:
        for line in (*notes, *problems):
            click.echo(str(line), err=True)
        if not problems:
            click.echo(f"{what}: no problems")
    if problems:
        raise click.exceptions.Exit(RecipeError.exit_code)


def _json(files: Sequence[str], notes: Sequence[str], problems: Sequence[Problem]) -> str:
    from dataclasses import asdict

    found = [asdict(problem) for problem in problems]
    return json.dumps({"recipe": files, "ok": not problems, "notes": notes, "problems": found}, indent=2)
