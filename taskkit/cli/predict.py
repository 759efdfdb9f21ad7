"""`taskkit predict`: ask a run about files or lines of text."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from taskkit.cli import Context
from taskkit.cli.bar import bar
from taskkit.cli.loading import loading
from taskkit.cli.output import say
from taskkit.contracts.facts import TextLine
from taskkit.data.documents import not_utf8
from taskkit.data.outputs import Form, check_output, form_of
from taskkit.data.tables import table_suffix
from taskkit.wording import json_line, on_one_line, path_text, shortened

if TYPE_CHECKING:
    from taskkit.answering.asking import Asked


@click.command(
    name="predict", short_help="Predict for files or lines of text.", context_settings={"ignore_unknown_options": True}
)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[INPUT…] [--OPTION VALUE…]")
@click.option("--out", type=click.Path(path_type=Path), help="The folder for predictions that are files.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write the predictions into a .csv, .jsonl or .parquet file, beside the columns of the tables that were read.",
)
@click.option(
    "--watch", type=click.Path(path_type=Path), help="Answer files as they appear in this folder, into -o .jsonl."
)
@click.option("--workers", type=click.IntRange(0), help="Processes that encode for -o; by default as many as it takes.")
@click.option("--devices", type=click.IntRange(1), help="Processes that answer for -o, each on a device; by default 1.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each prediction.")
@click.pass_obj
def command(
    ours: Context,
    run: Path,
    words: tuple[str, ...],
    out: Path | None,
    output: Path | None,
    watch: Path | None,
    workers: int | None,
    devices: int | None,
    as_json: bool,
) -> None:
    """Predict with RUN for each INPUT: a file, a table or a text, whatever its model reads; `-` reads lines from stdin.

    A run's model and task may take options of their own, as `--column text` or `--top 3`; an unknown one lists them.
    """
    from taskkit.recipe.options import parse

    if words.count("-") > 1:
        raise click.UsageError("`-` stands for all of standard input, which can be read once. Give it once.")
    if output is None and (watch, workers, devices) != (None, None, None):
        raise click.UsageError("--watch, --workers and --devices are for answers in a file. Name it with -o.")
    if watch is not None and (workers, devices) != (None, None):
        raise click.UsageError("With --watch one process answers. Leave out --workers and --devices.")
    if output is not None and watch is None:
        check_output(output)
    loaded = _opened(run, ours)
    takers = loaded.predict_options
    inputs, options = parse(words, takers)
    sources = [line for word in inputs for line in _lines(word)]
    if watch is not None and output is not None:
        if sources:
            raise click.UsageError("With --watch the inputs are the files of the folder. Name no other.")
        _watch(loaded, watch, output, out, options)
        return
    if not sources and not loaded.requests(**options).examples:
        sources = [*_lines("-")]
        if not sources:
            raise click.UsageError("Name an input, or write one a line on standard input.")
    if output is not None:
        _write(loaded, sources, output, out, (workers, devices or 1), _form(output, inputs, options), options)
        return
    predictions = loaded.answer(loaded.requests(sources, **options), out)
    for prediction in predictions:
        if as_json:
            say(json_line(prediction))
            continue
        name = on_one_line(str(prediction["input"]))
        if remark := prediction.get("remark"):
            say(f"{name}: {remark}", err=True)
        for row in _rows(prediction):
            say(f"{name}\t{row}")


def _write(
    loaded: Asked,
    sources: Sequence[str],
    output: Path,
    out: Path | None,
    processes: tuple[int | None, int],
    form: Form,
    options: Mapping[str, Any],
) -> None:
    """Answer into a file, with `processes` that encode and that answer; exit with 1 where rows of it are errors."""
    workers, devices = processes
    with bar() as progress:
        written = loaded.predict_into(
            sources, output, out=out, workers=workers, devices=devices, form=form, progress=progress, **options
        )
    said = f", with {form.said}" if form.said else ""
    say(f"{written.rows:,} predictions are in {path_text(output)}{said}", err=True)
    if written.errors:
        say(f"{written.errors:,} of them are errors, each beside its input:", err=True)
        for error in written.first:
            say(f"  {shortened(on_one_line(error))}", err=True)
        raise SystemExit(1)


def _watch(loaded: Asked, folder: Path, output: Path, out: Path | None, options: Mapping[str, Any]) -> None:
    """Answer files as they appear, until a signal says that it is enough."""
    from taskkit.engine.signals import Signals

    signals = Signals()
    say(f"watching {path_text(folder)}; answers go to {path_text(output)}", err=True)

    def told(name: str, errors: int) -> None:
        say(f"{name}: {'it cannot be answered' if errors else 'answered'}", err=True)

    with signals.heard(), signals.held():
        loaded.watch(folder, output, lambda: signals.number is not None, out=out, said=told, **options)
    say("stopped; the same command goes on", err=True)


def _opened(path: Path, ours: Context) -> Asked:
    """A run, or an exported folder, which may do without torch."""
    from taskkit.handover.folder import is_export

    if is_export(path):
        from taskkit.handover.loaded_export import load_export

        exported = load_export(path, plugins=ours.plugins)
        if exported.is_portable:
            return exported
    with loading():
        if is_export(path):
            exported.answerer  # noqa: B018 - it is read now, while it is said what is waited for
            return exported
        from taskkit.loaded_run import load_run

        loaded = load_run(path, plugins=ours.plugins)
        loaded.predict_options  # noqa: B018 - as above
        return loaded


def _form(output: Path, inputs: Sequence[str], options: Mapping[str, Any]) -> Form:
    """As the tables among the inputs are written, where a CSV file is."""
    if output.suffix.lower() != ".csv":
        return Form()
    paths = [Path(os.path.expanduser(word)) for word in inputs]  # noqa: PTH111 - as inputs are read
    tables = [path for path in paths if table_suffix(path) and os.path.isfile(path)]  # noqa: PTH113 - a text is no path
    return form_of(tables, options.get("delimiter"), options.get("encoding"))


def _lines(word: str) -> Iterator[str]:
    """An input; `-` is every line of standard input."""
    if word == "-":
        yield from _stdin()
    else:
        yield word


def _stdin() -> Iterator[str]:
    """The lines of standard input that are not blank; raises DataError for one that is not UTF-8."""
    blank = 0
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            text = line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise not_utf8(f"standard input, line {number}", error) from None
        if text.strip():
            yield TextLine(text)
        else:
            blank += 1
    if blank:
        say(f"standard input: {blank} blank lines are left out", err=True)


def _rows(prediction: Any) -> Iterator[str]:
    answer = prediction["prediction"]
    if isinstance(answer, list) and answer and isinstance(answer[0], Mapping):
        yield from ("\t".join(map(_shown, row.values())) for row in answer)
        return
    probability = prediction.get("probability")
    yield str(answer) + (f"\t{_shown(probability)}" if probability is not None else "")


def _shown(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
