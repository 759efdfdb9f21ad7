"""`taskkit compress`: a smaller network, and what it costs."""

from __future__ import annotations

from pathlib import Path

import click

from taskkit.cli import Context
from taskkit.cli.loading import loading
from taskkit.cli.output import lasting, say
from taskkit.errors import TaskkitError
from taskkit.runs.manifest import Compressed


@click.command(name="compress", short_help="Make a run's network smaller, and say what that costs.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("words", nargs=-1, metavar="[KEY=VALUE|OVERLAY]…")
@click.option(
    "--quantise",
    type=click.Choice(["int8", "int4", "fp8"]),
    help="Hold the weights of linear layers in fewer bits: int8 with activations of 8 bits too, int4 and fp8 alone.",
)
@click.option("--prune", type=float, metavar="SHARE", help="Leave out the smallest weights: 0.5 is half of them.")
@click.option("--structured", is_flag=True, help="With --prune: whole rows and channels of each layer.")
@click.option(
    "--distil",
    metavar="STUDENT.yaml",
    help="Train the network of another recipe on RUN's answers, by its distil section.",
)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="The run directory; by default beside RUN, named after it."
)
@click.pass_context
def command(
    context: click.Context,
    run: Path,
    words: tuple[str, ...],
    quantise: str | None,
    prune: float | None,
    structured: bool,
    distil: str | None,
    out: Path | None,
) -> None:
    """Make a run directory of RUN with a smaller network, test it, and compare the two on the same examples.

    The new run is evaluated, asked, compared, reported and explained like any other. Changes and overlays are those of
    STUDENT.yaml, as of `taskkit run`. Raises TaskkitError as `taskkit.compression.compress` does.
    """
    ours: Context = context.obj
    if sum(each is not None for each in (quantise, prune, distil)) != 1:
        raise click.UsageError("Choose one of --quantise, --prune and --distil.")
    if words and distil is None:
        raise click.UsageError(f"{words[0]!r} would change a recipe, and only --distil takes one. Leave it out.")
    if structured and prune is None:
        raise click.UsageError("--structured says how --prune chooses. Add --prune 0.5, or leave it out.")
    with loading():
        from rich.console import Console

        from taskkit.compare.layout import text
        from taskkit.compression import compress as room
        from taskkit.engine.signals import Preempted
        from taskkit.loaded_run import load_run

        parent = load_run(run, plugins=ours.plugins)
    label = quantise or (f"pruned-{prune:g}{'-structured' if structured else ''}" if prune is not None else "distilled")
    target = out or run.with_name(f"{run.resolve().name}_{label}")
    if distil is not None:
        try:
            taught = room.distil(parent, [distil, *words], target, Console(file=lasting()))
        except Preempted as stop:
            context.exit(128 + stop.number)
        if taught is None:
            return
        found = taught
    else:
        how = room.Quantise(quantise) if quantise is not None else room.Prune(prune or 0.0, structured)
        found = room.compress(parent, how, target)
    made = found.run.manifest.compressed
    if made is None:
        raise TaskkitError(f"{found.run.path}: it lost what it was made of. Compress again.")
    say("\n".join(_lines(made)))
    say(text(found.compared, 100))
    say(f"run directory {found.run.path}")


def _lines(made: Compressed) -> list[str]:
    lines = [f"weights in memory  {made.bytes_before or 0:>12,} bytes → {made.bytes_after or 0:,}"]
    before, after = made.inference_before, made.inference_after
    if before is not None and after is not None:
        lines.append(f"one answer         {before.latency_ms:>12.3f} ms → {after.latency_ms:.3f} ({after.device})")
        lines.append(
            f"in batches         {before.examples_per_second:>12,.1f} a second → {after.examples_per_second:,.1f}"
        )
    if "zeros" in made.settings:
        lines.append(f"weights of nought  {made.settings['zeros']:>12.1%}, which take room and time as any other")
    return lines
