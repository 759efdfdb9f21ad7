"""`taskkit check`: everything that is wrong with a recipe, before any work."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from taskkit.cli.loading import loading
from taskkit.cli.output import say
from taskkit.cli.recipe_verb import RecipeVerb
from taskkit.cli.run import smoke_changes

if TYPE_CHECKING:
    from taskkit.cli import Context
    from taskkit.errors import Problem
    from taskkit.plugins.discovery import Plugins
    from taskkit.recipe.load import Resolved


@click.command(name="check", cls=RecipeVerb)
@click.argument("words", nargs=-1, required=True, metavar="RECIPE… [KEY=VALUE…]")
@click.option("--json", "as_json", is_flag=True, help="Print the problems as JSON.")
@click.option("--data", is_flag=True, help="Then fetch the data and look for what is wrong with them.")
@click.option("--smoke", is_flag=True, help="Then take two steps of training, validation and test.")
@click.pass_obj
def command(context: Context, words: Sequence[str], as_json: bool, data: bool, smoke: bool) -> None:
    """Say everything that is wrong with a recipe, before any work.

    Recipe files and overlays are merged from left to right, then the changes. Exit code 2: it has problems.
    """
    from taskkit.errors import RecipeError
    from taskkit.recipe.load import load, split

    files, overrides = split(words)
    try:
        resolved = load(files, overrides, context.plugins)
        notes, problems = resolved.notes, _data_problems(resolved) if data else ()
        if smoke and not problems:
            changes = smoke_changes(resolved.recipe)
            _smoke(load(files, [*overrides, *changes], context.plugins), context.plugins)
    except RecipeError as error:
        notes, problems = (), error.problems
    what = " ".join(files)
    if as_json:
        say(_json(files, notes, problems))
    else:
        for line in (*notes, *problems):
            say(str(line), err=True)
        if not problems:
            say(f"{what}: no problems")
    if problems:
        raise click.exceptions.Exit(RecipeError.exit_code)


def _data_problems(resolved: Resolved) -> Sequence[Problem]:
    """What the data module finds wrong; warnings are said at once, errors returned."""
    from taskkit.errors import Problem

    with loading():
        from taskkit.api import inspect, preload

        preload(resolved.recipe)

    found = inspect(resolved)
    for problem in found:
        apart = "\n" if "\n" in problem.message else " "
        some = f"{apart}({', '.join(problem.examples)})" if problem.examples else ""
        say(f"{problem.severity}: {problem.kind}: {problem.message}{some}", err=True)
    return [Problem("data", "data", each.message) for each in found if each.severity == "error"]


def _smoke(resolved: Resolved, plugins: Plugins) -> None:
    import tempfile
    from pathlib import Path

    with loading():
        from rich.console import Console

        from taskkit.api import preload, start

        preload(resolved.recipe)

    with tempfile.TemporaryDirectory() as directory:
        start(resolved, plugins, Path(directory, "run"), Console(stderr=True))


def _json(files: Sequence[str], notes: Sequence[str], problems: Sequence[Problem]) -> str:
    from dataclasses import asdict

    found = [asdict(problem) for problem in problems]
    return json.dumps({"recipe": files, "ok": not problems, "notes": notes, "problems": found}, indent=2)
