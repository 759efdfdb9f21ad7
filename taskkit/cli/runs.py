"""`taskkit runs`: what was run here, how it ended and what it gave."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from taskkit.cli.output import say
from taskkit.cli.table import print_table
from taskkit.runs import listing
from taskkit.runs.listing import ORDERS, STATUSES, Row
from taskkit.wording import some

COLUMNS = ("status", "run", "score", "cost", "age", "data", "title")


@click.command(name="runs", short_help="List runs with their status, score, cost and age.")
@click.argument("pattern", default="*")
@click.option("--root", type=click.Path(path_type=Path), default=Path("runs"), help="Where to look; default: runs.")
@click.option("--status", "statuses", type=click.Choice(STATUSES), multiple=True, help="Only these; may be repeated.")
@click.option("--sort", type=click.Choice(ORDERS), default="started", show_default=True, help="The order.")
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(pattern: str, root: Path, statuses: Sequence[str], sort: str, reverse: bool, as_json: bool) -> None:
    """List the runs whose path, title or data match PATTERN: a part of it, or a glob such as '*lr=0.01*'.

    By score the best come first; what has none comes last.
    """
    rows = listing.find(root, pattern, statuses, sort)
    rows = rows[::-1] if reverse else rows
    if as_json:
        say(listing.to_json(rows))
        return
    print_table(COLUMNS, [_cells(row, root) for row in rows], right=("score", "cost", "age"), fold=("title",))
    if overdue := [row for row in rows if row.overdue]:
        say(_remark(overdue, root), err=True)
    if not rows:
        say(f"no runs in {root}", err=sys.stdout.isatty())


def _remark(overdue: Sequence[Row], root: Path) -> str:
    """Which runs were to be kept no longer."""
    named = [f"{os.path.relpath(row.run, root)} (until {row.retain_until})" for row in overdue]
    return (
        f"{len(overdue)} of these were not to be kept any longer: {some(named)}. Remove their directories, or what "
        "they have of their examples: taskkit scrub RUN"
    )


def _cells(row: Row, root: Path) -> tuple[str, ...]:
    """What a person reads, in the order of COLUMNS."""
    score = "" if row.score is None else f"{row.headline} {row.score:.4f}"
    cost = "" if row.seconds is None else f"{row.seconds:.{0 if row.seconds >= 10 else 1}f} s"
    place, age = os.path.relpath(row.run, root), row.started and listing.age(row.started)
    return (row.status, place, score, cost, age, row.data, row.title)
