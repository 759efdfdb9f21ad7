"""`taskkit export-env`: the packages of a run, to install them again."""

from __future__ import annotations

from pathlib import Path

import click

from taskkit.cli.output import say
from taskkit.runs import manifest
from taskkit.runs.difference import pins
from taskkit.runs.record import write_atomically


@click.command(name="export-env", short_help="Write the versions of a run's packages as pins.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A file to write; default: print.")
def command(run: Path, out: Path | None) -> None:
    """Write `name==version` for every package that was installed when RUN began to train.

    `pip install -r` takes the lines. They name no machine, path or index; packages that were installed from a folder
    must be had from there.
    """
    text = pins(manifest.read(run))
    if out is None:
        say(text.removesuffix("\n"))
    else:
        write_atomically(out, text)
