"""`taskkit run`: check a recipe, prepare its data, train and test; or go on with a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskkit.cli import Context
from taskkit.cli.loading import loading
from taskkit.cli.output import lasting, say
from taskkit.cli.recipe_verb import RecipeVerb
from taskkit.cli.report import check_not_encrypted, write_report
from taskkit.runs import manifest

if TYPE_CHECKING:
    from taskkit.contracts.recipe import Recipe


def smoke_changes(recipe: Recipe) -> list[str]:
    """Overrides that make a recipe do two steps of everything; one without training keeps to that."""
    steps = [] if recipe.trainer.max_epochs == 0 else ["trainer.max_steps=2", "trainer.max_epochs=null"]
    return [
        *steps,
        "trainer.limit_val_batches=2",
        "trainer.limit_test_batches=2",
        "trainer.val_check_interval=1.0",
        "checkpoint.every_n_steps=null",
        "early_stopping=null",
        "optim.warmup=0",
        "optim.hold=0",
        f"optim.freeze={json.dumps(dict.fromkeys(recipe.optim.freeze))}",
    ]


@click.command(name="run", cls=RecipeVerb, short_help="Check a recipe, prepare its data, train and test.")
@click.argument("words", nargs=-1, metavar="[RECIPE… [KEY=VALUE…]]")
@click.option("--out", type=click.Path(path_type=Path), help="The run directory itself: new or empty.")
@click.option(
    "--resume",
    metavar="RUN",
    help="Go on with a run; `auto`: with this recipe's last unfinished one, or the one in --out.",
)
@click.option(
    "--from-good",
    is_flag=True,
    help="With --resume RUN, after numbers that were not finite: go on from the last good checkpoint with a lower "
    "optim.lr, or with changes.",
)
@click.option("--seed", type=int, help="The same as seed=N.")
@click.option("--smoke", is_flag=True, help="Two steps of training, validation and test, to see that all works.")
@click.option("--report", is_flag=True, help="Then write report.html into the run directory, as `taskkit report` does.")
@click.pass_context
def command(
    context: click.Context,
    words: tuple[str, ...],
    out: Path | None,
    resume: str | None,
    from_good: bool,
    seed: int | None,
    smoke: bool,
    report: bool,
) -> None:
    """Check a recipe, prepare its data, train and test it.

    Overlays and changes merge from left to right: `taskkit run recipes/vit.yaml overlay.yaml optim.lr=1e-3`.
    """
    ours: Context = context.obj
    changes = [f"seed={seed}"] if seed is not None else []
    if from_good and resume in (None, "auto"):
        raise click.UsageError("--from-good goes with --resume RUN: name the run whose numbers were not finite.")
    if resume is not None and resume != "auto":
        if any("=" not in word for word in words) or out or changes or smoke:
            raise click.UsageError(
                "--resume RUN stands alone: a run goes on as it began, but perhaps on other devices, as by "
                f"trainer.devices=1. To begin another from its recipe, run {resume}/recipe.yaml with your changes."
            )
        _go_on(context, ours, Path(resume), words, report, from_good=from_good)
        return
    if not words:
        raise click.UsageError("Name a recipe, such as recipes/vit.yaml; `taskkit list recipes` shows those at hand.")
    _begin(context, ours, words, changes, smoke, out, resume == "auto", report)


def _begin(
    context: click.Context,
    ours: Context,
    words: Sequence[str],
    changes: Sequence[str],
    smoke: bool,
    out: Path | None,
    auto: bool,
    report: bool,
) -> None:
    from taskkit.recipe.load import load, split

    files, overrides = split(words)
    with loading():
        resolved = load(files, [*overrides, *changes], ours.plugins)
        for note in resolved.notes:
            say(note, err=True)
        if report:
            check_not_encrypted(resolved.recipe.plain())
        if smoke:
            resolved = load(files, [*overrides, *changes, *smoke_changes(resolved.recipe)], ours.plugins)
        # Only a recipe without problems pays for importing torch.
        from rich.console import Console

        from taskkit import api
        from taskkit.engine.signals import Preempted

        api.preload(resolved.recipe)

    try:
        if auto and (found := api.begun_before(resolved, out)) is not None:
            run = api.resume_by_itself(found, ours.plugins, Console(file=lasting()))
        else:
            run = api.start(resolved, ours.plugins, out, Console(file=lasting()))
    except Preempted as stop:
        context.exit(128 + stop.number)
    if report:
        _report(ours, run.path)


def _go_on(
    context: click.Context, ours: Context, run: Path, words: Sequence[str], report: bool, *, from_good: bool
) -> None:
    if report:
        check_not_encrypted(manifest.read(run).resolved)
    with loading():
        from rich.console import Console

        from taskkit import api
        from taskkit.engine.signals import Preempted

    try:
        changes = {"from_good": words} if from_good else {"elsewhere": words}
        api.resume(run, **changes, plugins=ours.plugins, console=Console(file=lasting()))
    except Preempted as stop:
        context.exit(128 + stop.number)
    if report:
        _report(ours, run)


def _report(ours: Context, run: Path) -> None:
    """Write the report of a run that ended, in one of its processes."""
    from taskkit.engine.launch import is_primary

    if is_primary():
        write_report(ours, run / "report.html", [str(run)])
