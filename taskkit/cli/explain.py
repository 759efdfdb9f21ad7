"""`taskkit explain`: what answers rest on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from taskkit.cli import Context
from taskkit.cli.loading import loading
from taskkit.cli.output import say
from taskkit.errors import RunFailedError, TaskkitError
from taskkit.explanation.value import Explanation, in_words
from taskkit.wording import json_line, on_one_line, path_text

FIRST = 5
"""So many parts are named on a line."""


@click.command(
    name="explain", short_help="Say what answers rest on.", context_settings={"ignore_unknown_options": True}
)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[INPUT…] [--OPTION VALUE…]")
@click.option(
    "--method",
    metavar="NAME",
    help="integrated-gradients, occlusion, shap, grad-cam, attention-rollout or neighbours; by default the first that "
    "applies.",
)
@click.option("--target", metavar="ANSWER", help="The answer to explain; by default the one that is given.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write them into a .html file, which needs no network, or a .json file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each explanation.")
@click.pass_obj
def command(
    ours: Context,
    run: Path,
    words: tuple[str, ...],
    method: str | None,
    target: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Explain what RUN answers to each INPUT, which is read as `taskkit predict` reads it.

    Raises TaskkitError for a file that cannot be written, and RunFailedError where attributions do not add up to what
    they explain, although the method promises it.
    """
    from taskkit.recipe.options import parse
    from taskkit.report.make import check_place

    if output is not None and output.suffix.lower() not in (".html", ".json"):
        raise TaskkitError(f"{output}: its name must end with .html or .json. Name another file with -o.")
    if output is not None and output.suffix.lower() == ".html":
        check_place(output)
    with loading():
        from taskkit.explanation.explain import explain_requests
        from taskkit.loaded_run import load_run

        loaded = load_run(run, plugins=ours.plugins)
        takers = loaded.predict_options
    inputs, options = parse(words, takers)
    requests = loaded.requests(inputs, **options)
    if not requests.examples:
        raise click.UsageError("Name an input.")
    found = explain_requests(loaded, requests, method=method, target=target)
    for each in found:
        if as_json:
            say(json_line(each.plain()))
        elif output is None:
            say("\n".join(_lines(each)))
    if output is not None:
        _write(output, run, found)
        say(f"{len(found):,} explanations are in {path_text(output)}", err=True)
    if off := [each for each in found if each.sum is not None and not each.sum.holds]:
        told = "\n".join(f"{each.input}: {in_words(each.sum)}" for each in off if each.sum is not None)
        raise RunFailedError(f"{told}\nThese attributions leave something out, or add something. Try --method shap.")


def _write(output: Path, run: Path, found: Sequence[Explanation]) -> None:
    from taskkit.report.explanations import report
    from taskkit.report.make import write

    if output.suffix.lower() == ".html":
        write(output, report(found, str(run)))
    else:
        write(output, json.dumps([each.plain() for each in found], ensure_ascii=False, indent=1))


def _lines(found: Explanation) -> Iterator[str]:
    """The answer, the parts or neighbours that count most, and whether what is attributed adds up."""
    name = on_one_line(found.input)
    yield f"{name}\t{on_one_line(found.answer)}\t{found.quantity} {found.score:.4f}\t{found.method}"
    for part in found.parts:
        if part.kind == "number":
            yield f"{name}\t{part.values:+.4f}\t{part.name}"
        elif part.names:
            ranked = sorted(zip(part.values, part.names, strict=True), key=lambda each: -abs(each[0]))
            yield from (f"{name}\t{value:+.4f}\t{on_one_line(word.strip())}" for value, word in ranked[:FIRST])
        elif part.kind == "picture":
            yield f"{name}\t{len(part.values)}×{len(part.values[0])} values\tsee them with -o FILE.html"
        else:
            yield f"{name}\t{len(part.values)} values\tsee them with -o FILE.html"
    for near in found.neighbours:
        target = "" if near.target is None else f"\t{on_one_line(str(near.target))}"
        yield f"{name}\t{near.similarity:.4f}\t{on_one_line(near.id)}{target}"
    if found.sum is not None:
        yield f"{name}\t{in_words(found.sum)}"
