"""`taskkit plugins update`: what the template of a plugin has learnt since, about packaging and tests on a forge."""

from __future__ import annotations

from pathlib import Path

import click

from taskkit.cli.output import say

SAID = {
    "new": "the template has a new file",
    "changed": "the template changed it, and you did not",
    "both": "the template changed it, and so did you",
    "gone": "the template has it no more; it stays until you delete it",
}


@click.command(name="update")
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
@click.option("--write", is_flag=True, help="Change the files; where you and the template contradict, as git marks it.")
def command(folder: Path, write: bool) -> None:
    """Show what the template has learnt since the plugin in FOLDER was written by `taskkit new plugin`.

    Packaging and continuous integration alone are compared: what was written then, what stands there now, and what
    would be written today. Nothing is changed without --write. Exit code 1: conflicts are left to resolve.
    """
    from taskkit.scaffold.update import apply, differences

    if not write:
        found = differences(folder)
        for each in found:
            say(f"{each.path}: {SAID[each.state]}")
            say("\n".join(each.shown()) + "\n")
        words = f"{_files(len(found))} to look at; --write changes them" if found else "nothing has changed"
        say(f"{folder}: {words}.", err=True)
        return
    left = 0
    for each, conflicts in apply(folder):
        left += conflicts
        said = f", {conflicts} to be resolved by hand" if conflicts else ""
        say(f"{each.path}: {SAID[each.state]}{said}")
    say(f"{folder}: it is of the template of today.", err=True)
    if left:
        raise click.exceptions.Exit(1)


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
