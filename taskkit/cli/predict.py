"""`taskkit predict`: ask a run about files or lines of text."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from taskkit.cli import Context
from taskkit.contracts.facts import Line
from taskkit.errors import DataError


@click.command(
    name="predict", short_help="Predict for files or lines of text.", context_settings={"ignore_unknown_options": True}
)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[INPUT…] [--OPTION VALUE…]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each prediction.")
@click.pass_obj
def command(ours: Context, run: Path, words: tuple[str, ...], as_json: bool) -> None:
    """Predict with RUN for each INPUT: a file, a table or a text, whatever its model reads; `-` reads lines from stdin.

    A run's model and task may take options of their own, as `--column text` or `--top 3`; an unknown one lists them.
    """
    from taskkit.loaded_run import load_run
    from taskkit.recipe.options import parse

    loaded = load_run(run, plugins=ours.plugins)
    inputs, asked = parse(words, loaded.predict_options)
    stdin = () if loaded.requested(**asked) else ("-",)
    lines = [line for word in inputs or stdin for line in (_stdin() if word == "-" else (word,))]
    if not lines and stdin:
        raise click.UsageError("Name an input, or write one a line on standard input.")
    for prediction in loaded.predict(lines, **asked):
        if as_json:
            click.echo(json.dumps(prediction, ensure_ascii=False))
            continue
        if note := prediction.get("note"):
            click.echo(f"{prediction['input']}: {note}", err=True)
        for row in _rows(prediction):
            click.echo(f"{prediction['input']}\t{row}")


def _stdin() -> Iterator[str]:
    """The lines of standard input that are not blank; raises DataError for one that is not UTF-8."""
    blank = 0
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            text = line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(f"standard input, line {number}: {error}. UTF-8 was expected. Convert it first.") from None
        if text.strip():
            yield Line(text)
        else:
            blank += 1
    if blank:
        click.echo(f"standard input: {blank} blank lines are left out", err=True)


def _rows(prediction: Any) -> Iterator[str]:
    answer = prediction["prediction"]
    if isinstance(answer, list) and answer and isinstance(answer[0], Mapping):
        yield from ("\t".join(map(_shown, row.values())) for row in answer)
        return
    probability = prediction.get("probability")
    yield str(answer) + (f"\t{probability:.4f}" if probability is not None else "")


def _shown(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
