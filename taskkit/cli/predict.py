"""`taskkit predict`: ask a run about files or lines of text."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from taskkit.cli import Context


@click.command(name="predict", short_help="Predict for files or lines of text.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, metavar="[INPUT…]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each input.")
@click.pass_obj
def command(ours: Context, run: Path, inputs: tuple[str, ...], as_json: bool) -> None:
    """Predict with RUN for each INPUT: a file or a text, whatever its model reads; `-` reads lines from stdin."""
    given = [line.rstrip("\n") for word in inputs or ("-",) for line in (sys.stdin if word == "-" else (word,))]
    if not given:
        raise click.UsageError("Name an input, or write one a line on standard input.")
    from taskkit.api import load_run

    for source, prediction in zip(given, load_run(run, plugins=ours.plugins).predict(given), strict=True):
        click.echo(json.dumps({"input": source, **prediction}) if as_json else f"{source}\t{_words(prediction)}")


def _words(prediction: Any) -> str:
    probability = prediction.get("probability")
    return str(prediction["prediction"]) + (f"\t{probability:.4f}" if probability is not None else "")
