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
@click.option("--cost", is_flag=True, help="Show what they cost, and which none beats in both.")
@click.option("--ranks", is_flag=True, help="Rank models, or values of --by, over ten data sets or more.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--csv", "as_csv", is_flag=True, help="Print one row a method.")
@click.option("--latex", "as_latex", is_flag=True, help="Print a table for booktabs.")
@click.pass_obj
def command(
    ours: Context,
    runs: tuple[str, ...],
    metric: str | None,
    by: str | None,
    across: bool,
    cost: bool,
    ranks: bool,
    as_json: bool,
    as_csv: bool,
    as_latex: bool,
) -> None:
    """Compare tested runs: best first, with intervals, and which differences are real.

    RUN is a run directory, a directory of runs or a pattern. Runs of one recipe with several seeds are one method.
    """
    from taskkit.compare import layout
    from taskkit.compare.comparison import compare
    from taskkit.compare.datasets import ranking

    form = _only(json=as_json, csv=as_csv, latex=as_latex)
    _only(cost=cost, ranks=ranks)
    if cost and form is None and by is not None:
        raise click.UsageError("--cost shows nothing by --by. Leave one out, or use --json, which has both.")
    width = shutil.get_terminal_size().columns
    if ranks:
        if form not in (None, "json"):
            raise click.UsageError(f"--ranks cannot be had as {form}. Use --json, or leave it out.")
        ranked = ranking(compare(runs, ours.plugins.components, metric, across=True, by=by or "model.name"))
        say(layout.ranks_as_json(ranked) if form else layout.ranks(ranked, width))
        return
    if cost and form == "latex":
        raise click.UsageError(
            "--cost cannot be had as latex. Use --csv or --json, which hold what runs cost, or leave it out."
        )
    found = compare(runs, ours.plugins.components, metric, across=across, by=by)
    made = {"json": layout.as_json, "csv": layout.as_csv, "latex": layout.as_latex}
    shown = layout.costs if cost else layout.text
    say(made[form](found) if form is not None else shown(found, width))


def _only(**flags: bool) -> str | None:
    """The flag that was given; raises UsageError for two of which one would be ignored."""
    given = [name for name, on in flags.items() if on]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(f'--{name}' for name in given)} exclude each other. Leave one out.")
    return given[0] if given else None
