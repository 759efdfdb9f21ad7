"""`taskkit export`: hand a run over as a folder that answers without it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import cast

import click

from taskkit.cli import Context
from taskkit.cli.loading import loading
from taskkit.cli.output import say
from taskkit.handover.folder import FORMS, PRECISIONS, Form, Precision
from taskkit.wording import path_text, quoted


@click.command(name="export", short_help="Hand a run over as a folder: a program or weights, and a model card.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="The folder to write, which is not there yet.",
)
@click.option(
    "--to",
    "form",
    type=click.Choice(FORMS),
    default="onnx",
    show_default=True,
    help="A program of torch.export or in ONNX, the weights alone, or a folder for transformers.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="fp32",
    show_default=True,
    help="What weights are kept in; what is computed is float32.",
)
@click.option(
    "--examples",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="So many test examples are answered by both and compared.",
)
@click.option("--all", "every", is_flag=True, help="Compare the answers on all test examples.")
@click.option("--json", "as_json", is_flag=True, help="Print what export.json says.")
@click.pass_obj
def command(
    ours: Context, run: Path, output: Path, form: str, precision: str, examples: int, every: bool, as_json: bool
) -> None:
    """Write RUN's network, its processor, labels, recipe, licences and a model card into a new folder.

    The folder is compared with the run on the run's own test examples before it is there; exit code 1: it answers
    otherwise, and nothing is left.
    """
    from taskkit.cli.card import classes_of

    with loading():
        from taskkit.handover.write import Handed, write
        from taskkit.loaded_run import load_run

        loaded = load_run(run, plugins=ours.plugins)
        built = loaded.built
    rows = None if every else examples
    handed = Handed.of(run, loaded.manifest, built, loaded.checkpoint, classes_of(run), rows)
    record = write(handed, cast(Form, form), cast(Precision, precision), output, ours.plugins)
    if as_json:
        say(json.dumps(asdict(record)))
        return
    for each in filter(lambda each: each.what, record.compared):
        size = f"largest difference {each.largest:.2e} (limit {each.limit:g}); " if each.largest is not None else ""
        answers = "" if each.answers is None else f"{len(each.changed)} of {each.answers} predictions are others"
        say(f"{each.precision}: {each.what}: {size}{answers}", err=True)
    say(f"{path_text(output)}: {sum(file.bytes for file in record.files.values()) / 1e6:.1f} MB")
    if record.form == "huggingface":
        say(f"read it:  from_pretrained({str(output)!r}) of transformers' Auto classes")
    else:
        say(f"ask it:  taskkit predict {quoted(output)} INPUT")
