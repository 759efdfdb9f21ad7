"""`taskkit data`: what can be done with the data of a recipe."""

from __future__ import annotations

import click

from taskkit.cli.group import LazyGroup

VERBS = {
    "pack": ("taskkit.cli.data.pack:command", "Write the data of a recipe into shards, to train from these."),
}


@click.group(name="data", cls=LazyGroup, verbs=VERBS, subcommand_metavar="VERB …")
def command() -> None:
    """Do something with the data of a recipe."""
