"""`taskkit plugins`: which plugins there are, what they bring, and what is wrong with them."""

from __future__ import annotations

import click

from taskkit.cli.group import LazyGroup

VERBS = {
    "list": ("taskkit.cli.plugins.list:command", "List what is installed; imports none of it."),
    "info": ("taskkit.cli.plugins.info:command", "Say what a plugin is and what it declares."),
    "check": ("taskkit.cli.plugins.check:command", "Check a plugin, and say which level it reaches."),
    "search": ("taskkit.cli.plugins.search:command", "Find published plugins in the listing, offline."),
    "doctor": ("taskkit.cli.plugins.doctor:command", "Look for what is wrong with plugins, and say what to do."),
    "update": ("taskkit.cli.plugins.update:command", "Show what the template of a plugin has learnt since."),
}


@click.group(name="plugins", cls=LazyGroup, verbs=VERBS, subcommand_metavar="VERB …")
def command() -> None:
    """Look at plugins: which there are, what they bring, and what is wrong with them."""
