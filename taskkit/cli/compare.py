"""`taskkit compare`: runs side by side, with intervals and which differences are real."""

from __future__ import annotations

import shutil

import click

from taskkit.cli import Context
from taskkit.cli.output import say


@click.command(name="compare", short_help="Say which runs are better, and which cannot be told apart.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN…")
@click.option("--metric", metavar="NAME", help="By default the headline of the task.")
@click.option("--by", metavar="KEY", help="Show the metric at each value of a key, such as loader.fraction.")
@click.option("--across-protocols", "across", is_flag=True, help="Mark figures of other protocols; do not refuse them.")
@click.option("--cost", "view", flag_value="cost", help="Show what they cost, and which none beats in both.")
@click.option("--ranks", "view", flag_value="ranks", help="Rank models, or values of --by, over ten data sets or more.")
@click.option("--json", "form", flag_value="json", help="Print one JSON object.")
@click.option("--csv", "form", flag_value="csv", help="Print one row a method.")
@click.option("--latex", "form", flag_value="latex", help="Print a table for booktabs.")
@click.pass_obj
def command(
    ours: Context,
    runs: tuple[str, ...],
    metric: str | None,
    by: str | None,
    across: bool,
    view: str | None,
    form: str | None,
) -> None:
    """Compare tested runs: best first, with intervals, and which differences are real.

    RUN is a run directory, a directory of runs or a pattern. Runs of one recipe with several seeds are one method.
    """
    from taskkit.compare import layout
    from taskkit.compare.comparison import compare
    from taskkit.compare.datasets import ranking

    width = shutil.get_terminal_size().columns
    if view == "ranks":
        if form not in (None, "json"):
            raise click.UsageError(f"--ranks cannot be had as {form}. Use --json, or leave it out.")
        ranks = ranking(compare(runs, ours.plugins.components, metric, across=True, by=by or "model.name"))
        say(layout.ranks_as_json(ranks) if form else layout.ranks(ranks, width))
        return
    found = compare(runs, ours.plugins.components, metric, across=across, by=by)
    made = {"json": layout.as_json, "csv": layout.as_csv, "latex": layout.as_latex}
    shown = layout.costs if view == "cost" else layout.text
    say(made[form](found) if form is not None else shown(found, width))
