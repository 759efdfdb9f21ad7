"""`taskkit find`: settings that short trainings say something about."""

from __future__ import annotations

import click

from taskkit.cli.group import LazyGroup

VERBS = {
    "lr": ("taskkit.cli.find.lr:command", "Look for a learning rate, by one short training of rising rates."),
    "batch-size": ("taskkit.cli.find.batch_size:command", "Look for the size of a batch that trains fastest."),
}


@click.group(name="find", cls=LazyGroup, verbs=VERBS, subcommand_metavar="VERB …")
def command() -> None:
    """Look for a setting of a recipe by short trainings, of which nothing is left."""
