"""`taskkit new`: what a person would otherwise write from an empty file."""

from __future__ import annotations

import click

from taskkit.cli.group import LazyGroup

VERBS = {
    "plugin": ("taskkit.cli.new.plugin:command", "Write a plugin that can be installed, checked and published."),
    "data": ("taskkit.cli.new.data:command", "Look at your files, and write a recipe that trains on them."),
    "recipe": ("taskkit.cli.new.recipe:command", "Copy a recipe, and record where it is from."),
}


@click.group(name="new", cls=LazyGroup, verbs=VERBS, subcommand_metavar="WHAT …")
def command() -> None:
    """Write a plugin, a copy of a recipe, or a recipe for data of your own."""
