"""`taskkit find batch-size`: the size of a batch that trains fastest."""

from __future__ import annotations

import json
from functools import partial

import click

from taskkit.cli import Context
from taskkit.cli.loading import loading, stoppable
from taskkit.cli.output import say
from taskkit.cli.recipe_verb import RecipeVerb


@click.command(name="batch-size", cls=RecipeVerb, short_help="Look for the size of a batch that trains fastest.")
@click.argument("words", nargs=-1, required=True, metavar="RECIPE… [KEY=VALUE…]")
@click.option(
    "--steps", type=click.IntRange(min=1), default=20, show_default=True, help="Batches of each size that are timed."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(ours: Context, words: tuple[str, ...], steps: int, as_json: bool) -> None:
    """Train a recipe for short stretches in batches of twice and twice the size, and say which is fastest and fits.

    A larger batch is another training: what it learns, and with which rate, is to be seen.
    """
    from taskkit.recipe.load import load, split

    files, overrides = split(words)
    load(files, overrides, ours.plugins)  # What is wrong is said before torch is imported.
    with loading():
        from taskkit.speed.sizes import look
    with stoppable():
        found = look(files, overrides, ours.plugins, steps, partial(say, err=True))
    say(json.dumps(found.plain(), indent=2) if as_json else "\n".join(found.lines()))
