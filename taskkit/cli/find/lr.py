"""`taskkit find lr`: a learning rate to begin with."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from taskkit.cli import Context
from taskkit.cli.loading import loading, stoppable
from taskkit.cli.output import say
from taskkit.cli.recipe_verb import RecipeVerb


@click.command(name="lr", cls=RecipeVerb, short_help="Look for a learning rate, by one short training of rising rates.")
@click.argument("words", nargs=-1, required=True, metavar="RECIPE… [KEY=VALUE…]")
@click.option(
    "--steps", type=click.IntRange(min=20), default=100, show_default=True, help="Optimiser steps, each of a new rate."
)
@click.option("--from", "low", type=float, default=1e-6, show_default=True, help="The first rate.")
@click.option("--to", "high", type=float, default=1.0, show_default=True, help="The last rate.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with every step.")
@click.pass_obj
def command(ours: Context, words: tuple[str, ...], steps: int, low: float, high: float, as_json: bool) -> None:
    """Train a recipe for some steps, each with a higher learning rate, and say where the loss falls fastest.

    It is the range test of Smith (2017). What it names is a rate to begin a search with, seen on the training split
    alone.
    """
    from taskkit.recipe.load import load, split

    if not 0 < low < high:
        raise click.UsageError(
            f"--from {low:g} and --to {high:g}: two rates above 0 were expected, the lower one first."
        )
    files, overrides = split(words)
    load(files, overrides, ours.plugins)  # What is wrong is said before torch is imported.
    with loading():
        from taskkit.preflight.rates import look
    with stoppable():
        found = look(files, overrides, ours.plugins, steps, low, high)
    say(json.dumps({**asdict(found), "suggested": found.suggested}, indent=2) if as_json else "\n".join(found.lines()))
