"""`taskkit reproduce`: run a run again and see whether it gives what it gave."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskkit.cli import Context
from taskkit.cli.diff import print_differences
from taskkit.cli.loading import loading
from taskkit.cli.output import say

if TYPE_CHECKING:
    from taskkit.loaded_run import LoadedRun
    from taskkit.verify.reproduce import Reproduction


@click.command(name="reproduce", short_help="Run a run again and compare the scores.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The new run directory; default: RUN_again.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=0.01,
    show_default=True,
    help="How far metrics may be apart where software, machine or data are others.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(ours: Context, run: Path, out: Path | None, tolerance: float, as_json: bool) -> None:
    """Say what differs now from when RUN was made, run its recipe again and compare the test metrics.

    With the same software, machine and data they must be the same to the bit. Exit code 1: they do not agree.
    """
    with loading():
        from rich.console import Console

        from taskkit.engine.launch import is_primary
        from taskkit.loaded_run import load_run
        from taskkit.verify.reproduce import reproduce, surroundings

        loaded = load_run(run, plugins=ours.plugins)
    if not as_json and is_primary() and (now := surroundings(loaded)):
        say("what is otherwise now:")
        print_differences(now)
    again, found = reproduce(loaded, ours.plugins, out, Console(stderr=as_json))
    if not is_primary():
        return
    if as_json:
        said = {"run": str(run), "again": str(again.path), "agrees": found.agrees(tolerance), **asdict(found)}
        say(json.dumps(said, indent=2, default=str))
    else:
        _print(again, found, tolerance)
    if not found.agrees(tolerance):
        raise click.exceptions.Exit(1)


def _print(again: LoadedRun, found: Reproduction, tolerance: float) -> None:
    if found.differing:
        say("what was otherwise:")
        print_differences(found.differing)
    if found.largest == 0:
        say(f"reproduced: the same {len(again.metrics)} test metrics, bit for bit")
        return
    allowed = "nothing" if found.alike else f"{tolerance:g}"
    verdict = "reproduced" if found.agrees(tolerance) else "not reproduced"
    say(f"{verdict}: largest difference {found.largest:.2g} ({found.where}); {allowed} is allowed")
