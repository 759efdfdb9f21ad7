"""`taskkit card`: a model card of a run."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import click

from taskkit.cli.output import say


@click.command(name="card", short_help="Print a model card of a run or an exported folder.")
@click.argument("run", type=click.Path(path_type=Path))
def command(run: Path) -> None:
    """Print, in Markdown, what RUN says of its data, licences, metrics, limits and cost, and what is not known."""
    from taskkit.handover import folder
    from taskkit.handover.card import card
    from taskkit.runs import manifest

    if folder.is_export(run):
        say(folder.file(run, folder.read(run), folder.CARD).read_text(encoding="utf-8").rstrip("\n"))
        return
    say(card(manifest.read(run), run, classes_of(run)).rstrip("\n"))


def classes_of(run: Path) -> list[dict[str, str]]:
    """The rows of a run's classes.csv; none where it has no such table."""
    from taskkit.runs.encryption import reading

    path = run / "classes.csv"
    if not path.exists():
        return []
    with reading(path) as file:
        return list(csv.DictReader(io.StringIO(file.read().decode())))
