"""`taskkit report`: runs as one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from taskkit.cli import Context
from taskkit.cli.loading import loading
from taskkit.cli.output import say
from taskkit.errors import TaskkitError


@click.command(name="report", short_help="Write runs as one HTML file that a person reads.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN…")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="The file; an older report there is replaced.",
)
@click.option(
    "--metric", metavar="NAME", help="What several runs are compared by; by default the headline of the task."
)
@click.option("--across-protocols", "across", is_flag=True, help="Mark figures of other protocols; do not refuse them.")
@click.option("--no-data", is_flag=True, help="Do not read the data: no raw examples, no findings about the data.")
@click.option("--explain", is_flag=True, help="Explain some answers of the one run; see taskkit explain.")
@click.pass_obj
def command(
    ours: Context,
    runs: tuple[str, ...],
    out: Path,
    metric: str | None,
    across: bool,
    no_data: bool,
    explain: bool,
) -> None:
    """Write one HTML file about a run, or about several beside each other.

    RUN is a run directory, a directory of runs or a pattern. The file needs no network. It holds some raw examples of
    the test data, unless --no-data is given.
    """
    if explain and no_data:
        raise click.UsageError("--explain needs the data that --no-data leaves out. Leave out one of them.")
    write_report(ours, out, runs, metric, across=across, data=not no_data, explain=explain)


def write_report(
    ours: Context,
    out: Path,
    runs: Sequence[str],
    metric: str | None = None,
    *,
    across: bool = False,
    data: bool = True,
    explain: bool = False,
) -> None:
    """Write the report of some runs and say where it is; raises TaskkitError as `taskkit.report.make` does."""
    from taskkit.report.make import check_place, report, write

    check_place(out)
    if data:
        with loading():
            import taskkit.report.data  # noqa: F401 - with torch
    write(out, report(runs, ours.plugins, metric, across=across, data=data, explain=explain))
    say(f"report: {out} ({out.stat().st_size / 1000:,.0f} kB)")


def check_not_encrypted(recipe: Mapping[str, Any]) -> None:
    """Raise TaskkitError where a report, which shows examples, would lie as it is in a run that is encrypted."""
    if recipe.get("privacy", {}).get("encrypt"):
        raise TaskkitError(
            "--report: this run is encrypted (privacy.encrypt), and a report, which shows examples, is not. Leave it "
            "out, and afterwards write one where it may lie: taskkit report RUN -o FILE"
        )
