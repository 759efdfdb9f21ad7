"""`taskkit check`: everything that is wrong with a recipe, before any work."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import click

from taskkit.cli.loading import loading
from taskkit.cli.output import say
from taskkit.cli.recipe_verb import RecipeVerb
from taskkit.cli.run import smoke_changes

if TYPE_CHECKING:
    from taskkit.cli import Context
    from taskkit.contracts.facts import DataProblem
    from taskkit.errors import Problem
    from taskkit.plugins.discovery import Plugins
    from taskkit.preflight.finding import Finding
    from taskkit.recipe.load import Resolved


@dataclass
class Found:
    """What was found, as it is printed."""

    notes: Sequence[str] = ()
    problems: Sequence[Problem] = ()
    """Of the recipe; of the data, of a look ahead and, with --strict, what else would be a warning."""
    data: Sequence[DataProblem] = ()
    ahead: list[Finding] = field(default_factory=list)

    @property
    def warnings(self) -> int:
        """How many things in the data and ahead deserve a look."""
        return sum(each.severity == "warning" for each in self.data) + sum(
            each.severity == "warning" for each in self.ahead
        )


@click.command(name="check", cls=RecipeVerb)
@click.argument("words", nargs=-1, required=True, metavar="RECIPE… [KEY=VALUE…]")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.option("--data", is_flag=True, help="Then fetch the data, say what they are and what is wrong with them.")
@click.option("--smoke", is_flag=True, help="Then take two steps of training, validation and test.")
@click.option(
    "--deep",
    is_flag=True,
    help="Then, with --data: can it learn, how long will it take, what does it need? Some minutes' work.",
)
@click.option("--strict", is_flag=True, help="Take warnings for errors.")
@click.pass_obj
def command(
    context: Context, words: Sequence[str], as_json: bool, data: bool, smoke: bool, deep: bool, strict: bool
) -> None:
    """Say everything that is wrong with a recipe, before any work.

    Recipe files and overlays are merged from left to right, then the changes. Exit code 2: it has problems.
    """
    from taskkit.errors import RecipeError
    from taskkit.recipe.load import load, split

    files, overrides = split(words)
    found, print_now = Found(), not as_json
    try:
        resolved = load(files, overrides, context.plugins)
        found.notes = resolved.notes
        for note in resolved.notes if print_now else ():
            say(note, err=True)
        if data or deep:
            _look_at_data(resolved, found, print_now)
        if smoke and not found.problems:
            changes = [*smoke_changes(resolved.recipe), "trackers=[]"]
            _smoke(load(files, [*overrides, *changes], context.plugins), context.plugins)
        if deep:
            _look_ahead(resolved, context.plugins, found, print_now)
        if strict and not found.problems and (warnings := found.warnings + len(found.notes)):
            found.problems = [_strict(warnings)]
    except RecipeError as error:
        found.notes, found.problems = (), error.problems
    _conclude(files, found, as_json)


def _conclude(files: Sequence[str], found: Found, as_json: bool) -> None:
    """Say what has not been said, and how it comes out."""
    from taskkit.errors import RecipeError

    if as_json:
        say(_json(files, found))
    else:
        for problem in found.problems:
            say(str(problem), err=True)
        if not found.problems:
            said = f"no errors, {_counted(found.warnings)}" if found.warnings else "no problems"
            say(f"{' '.join(files)}: {said}")
    if found.problems:
        raise click.exceptions.Exit(RecipeError.exit_code)


def _strict(warnings: int) -> Problem:
    from taskkit.errors import Problem

    message = f"{_counted(warnings)} said above, and --strict allows none. Mend what is told, or leave --strict out."
    return Problem("strict", "strict", message)


def _counted(warnings: int) -> str:
    return "1 warning" if warnings == 1 else f"{warnings} warnings"


def _look_at_data(resolved: Resolved, found: Found, print_now: bool) -> None:
    """What the data are and what their module finds wrong with them."""
    from taskkit.errors import Problem

    with loading():
        from taskkit.api import inspect, preload

        preload(resolved.recipe)

    found.data = inspect(resolved)
    for problem in found.data if print_now else ():
        apart = "\n" if "\n" in problem.message else " "
        some = f"{apart}({', '.join(problem.examples)})" if problem.examples else ""
        say(f"{problem.severity}: {problem.kind}: {problem.message}{some}", err=True)
    found.problems = [Problem("data", "data", each.message) for each in found.data if each.severity == "error"]


def _look_ahead(resolved: Resolved, plugins: Plugins, found: Found, print_now: bool) -> None:
    """Try the recipe on a small scale."""
    from taskkit.errors import Problem, TaskkitError

    with loading():
        from taskkit.preflight.checks import preflight

    try:
        for each in preflight(resolved, plugins):
            found.ahead.append(each)
            if print_now:
                say(f"{each.severity}: {each.kind}: {each.message}", err=True)
    except TaskkitError as error:
        # What was found before it is told all the same.
        found.problems = [*found.problems, Problem("deep", "deep", str(error))]
    errors = (each for each in found.ahead if each.severity == "error")
    found.problems = [*found.problems, *(Problem("deep", each.kind, each.message) for each in errors)]


def _smoke(resolved: Resolved, plugins: Plugins) -> None:
    import tempfile
    from pathlib import Path

    with loading():
        from rich.console import Console

        from taskkit.api import preload, start

        preload(resolved.recipe)

    with tempfile.TemporaryDirectory() as directory:
        start(resolved, plugins, Path(directory, "run"), Console(stderr=True))
    say("all of it works; this short run is gone again", err=True)


def _json(files: Sequence[str], found: Found) -> str:
    return json.dumps(
        {
            "recipe": files,
            "ok": not found.problems,
            "notes": found.notes,
            "problems": [asdict(problem) for problem in found.problems],
            "data": [asdict(problem) for problem in found.data],
            "ahead": [asdict(each) for each in found.ahead],
        },
        indent=2,
    )
