"""`taskkit new plugin`: a distribution that learns something, before its author has changed a line."""

from __future__ import annotations

from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskkit.cli.output import say
from taskkit.contracts.component import KINDS
from taskkit.scaffold.answers import LIKES, Answers, Like
from taskkit.scaffold.naming import Names

if TYPE_CHECKING:
    from taskkit.cli import Context
    from taskkit.plugins.discovery import Plugins


@click.command(name="plugin")
@click.argument("name")
@click.option(
    "--kinds",
    metavar="KINDS",
    default=",".join(KINDS),
    show_default=True,
    help="Which kinds of components it gets, with commas: what it lacks is that of the plugin that it is like.",
)
@click.option(
    "--like",
    type=click.Choice(LIKES),
    default="table",
    show_default=True,
    help="What its inputs are: those of taskkit-image, -text or -speech, or a modality of its own, rows or pairs.",
)
@click.pass_obj
def command(context: Context, name: str, kinds: str, like: Like) -> None:
    """Write a plugin into a folder NAME, such as taskkit-weather.

    It can be installed, checked, run, tested and published as it is: packaging, one small component of each kind, a
    recipe, tests, documentation and files for continuous integration.
    """
    from taskkit.scaffold.writing import write

    names = Names.of(name)
    wanted = {word.strip() for word in kinds.split(",")}
    if "" in wanted:
        raise click.UsageError(
            f"--kinds: {kinds!r} has an empty name. Some of {', '.join(KINDS)} were expected, with commas between "
            "them; leave it out for all."
        )
    if unknown := sorted(wanted.difference(KINDS)):
        raise click.UsageError(f"--kinds: {unknown[0]!r} is none of {', '.join(KINDS)}.")
    _refuse_taken(names, context.plugins)
    answers = Answers(names, tuple(kind for kind in KINDS if kind in wanted), like)
    paths = write(answers, Path())
    if names.distribution != name:
        say(f"{name} is written as {names.distribution}, the form in which package indexes compare names.", err=True)
    for path in paths:
        say(path.as_posix())
    say(
        f"\n{len(paths)} files. Next:\n"
        f"  pip install -e {names.distribution}\n"
        f"  taskkit plugins check {names.distribution}\n"
        f"  taskkit run {names.modality}",
        err=True,
    )


def _refuse_taken(names: Names, plugins: Plugins) -> None:
    """Raise PluginError for a name by which something else would be hidden."""
    from taskkit.errors import PluginError

    try:
        version = metadata.version(names.distribution)
    except metadata.PackageNotFoundError:
        pass
    else:
        raise PluginError(
            f"{names.distribution}: version {version} of a distribution of this name is installed. Choose another name."
        )
    if util.find_spec(names.package):
        raise PluginError(
            f"{names.distribution}: there is a Python package {names.package!r} already. Choose another name."
        )
    for component in plugins.components:
        if component.name.partition(".")[0] == names.modality:
            raise PluginError(
                f"{names.distribution}: its components would be called {names.modality}.…, as those of "
                f"{plugins.owner(component)}. Choose another name, such as {names.distribution}-extra."
            )
