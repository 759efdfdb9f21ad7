"""`taskkit new`: what a person would otherwise write from an empty file."""

from __future__ import annotations

import click

from taskkit.cli.group import LazyGroup

VERBS = {
    "recipe": ("taskkit.cli.new.recipe:command", "Copy a recipe, and record where it is from."),
}


@click.group(name="new", cls=LazyGroup, verbs=VERBS, subcommand_metavar="WHAT …")
def command() -> None:
    """Copy a recipe."""
