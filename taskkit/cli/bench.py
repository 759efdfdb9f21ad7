"""`taskkit bench`: how fast a recipe trains, what limits it, and what makes it faster."""

from __future__ import annotations

import json
from functools import partial

import click

from taskkit.cli import Context
from taskkit.cli.loading import loading, stoppable
from taskkit.cli.output import say
from taskkit.cli.recipe_verb import RecipeVerb


@click.command(name="bench", cls=RecipeVerb, short_help="Say how fast a recipe trains, and what makes it faster.")
@click.argument("words", nargs=-1, required=True, metavar="RECIPE… [KEY=VALUE…]")
@click.option(
    "--steps", type=click.IntRange(min=1), default=50, show_default=True, help="Batches of each stretch that is timed."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(ours: Context, words: tuple[str, ...], steps: int, as_json: bool) -> None:
    """Train a recipe for short stretches and say what its time goes into, and which changes make it faster.

    A loop written by hand and each change are timed in turn with the recipe as it is. Nothing is advised that
    was not measured, and first losses must agree. Nothing is left on the disk but encoded samples.
    """
    from taskkit.recipe.load import load, split

    files, overrides = split(words)
    load(files, overrides, ours.plugins)  # What is wrong is said before torch is imported.
    with loading():
        from taskkit.speed.bench import bench
        from taskkit.speed.words import lines
    with stoppable():
        report = bench(files, overrides, ours.plugins, steps, partial(say, err=True))
    say(json.dumps(report.plain(), indent=2) if as_json else "\n".join(lines(report)))
