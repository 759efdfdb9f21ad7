"""`taskkit study`: many runs from one file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskkit.cli.loading import loading
from taskkit.cli.output import say
from taskkit.errors import TaskkitError

if TYPE_CHECKING:
    from taskkit.cli import Context
    from taskkit.study.book import Book
    from taskkit.study.conduct import Conductor
    from taskkit.study.display import Lines, Moving
    from taskkit.study.estimate import Taken
    from taskkit.study.file import Launch, StudyFile
    from taskkit.study.launch import Launcher
    from taskkit.study.plan import Cell

FAILED = 1


@click.command(name="study", short_help="Run all recipes, seeds and values that one file names, and compare them.")
@click.argument("file", metavar="STUDY.yaml", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The study's directory; by default runs/STUDY.")
@click.option("--check", is_flag=True, help="Say everything that is wrong, and how much would be run; then end.")
@click.option("--deep", is_flag=True, help="First try each recipe in short, to say how long the study takes.")
@click.option("--retry", is_flag=True, help="Also go on with runs that failed by what would come again.")
@click.pass_context
def command(context: click.Context, file: Path, out: Path | None, check: bool, deep: bool, retry: bool) -> None:
    """Run what a study file names: recipes, each with all combinations of the varied values.

    A study that was stopped or killed goes on when it is started again: nothing is run twice. Exit code 1: a run
    failed.
    """
    ours: Context = context.obj
    from taskkit.runs.study import locked
    from taskkit.study import extras
    from taskkit.study import file as files
    from taskkit.study.plan import plan

    found = files.read(file)
    extras.check(found)
    directory = out or _default(file)
    if check:
        planned = plan(found, ours.plugins)
        _announce(found, planned, planned, directory, deep)
        if found.launch.kind == "slurm":
            from taskkit.study.clusters import script

            say(f"\n{script(found.launch, directory / 'jobs').strip()}\n")
        say(f"{file}: no problems")
        return
    plan(found, ours.plugins)  # Before there is a directory.
    with locked(directory):
        context.exit(_conduct(ours, found, directory, deep, retry))


def _default(file: Path) -> Path:
    """Where the runs of a study are, unless --out says so."""
    return Path("runs", file.stem)


def _conduct(ours: Context, file: StudyFile, directory: Path, deep: bool, retry: bool) -> int:
    from taskkit.study.book import Book, chosen_before
    from taskkit.study.clusters import held_threads
    from taskkit.study.conduct import Conductor, Queue
    from taskkit.study.plan import plan

    planned = plan(file, ours.plugins, chosen_before(directory))
    book = Book.open(directory, file, planned)
    left = book.left(planned, retry=retry)
    _announce(file, planned, left, directory, deep)
    display = _display(directory, len(planned), len(planned) - len(left))
    launcher = _launcher(file.launch, directory)
    conductor = Conductor(book, launcher, display, held_threads(file.launch))
    try:
        if file.study.search is not None:
            _search(ours, file, book, conductor, display)
            planned = plan(file, ours.plugins, chosen_before(directory))
        if conductor.stopped_by is None:
            conductor.conduct(Queue(book.left(planned, retry=retry)))
    except TaskkitError:
        book.end("failed")
        raise
    finally:
        display.close()
        launcher.close()
    return _conclude(ours, file, book, planned, conductor.stopped_by)


def _launcher(section: Launch, directory: Path) -> Launcher:
    """The place that a study names."""
    from taskkit.study.launch import Local

    if section.kind == "local":
        return Local(section.processes, section.devices)
    from taskkit.study.clusters import OnRay, OnSlurm

    return OnRay(section) if section.kind == "ray" else OnSlurm(section, directory / "jobs")


def _search(ours: Context, file: StudyFile, book: Book, conductor: Conductor, display: Lines | Moving) -> None:
    """Choose values for each recipe, by validation alone."""
    from functools import partial

    from taskkit.study.plan import start_of, trial
    from taskkit.study.search import Searching, in_words

    search = file.study.search
    assert search is not None
    for recipe in file.entries:
        if conductor.stopped_by is not None:
            return
        make = partial(trial, file, recipe, plugins=ours.plugins)
        searching = Searching(recipe, search, make, start_of(file, recipe, ours.plugins), book)
        if searching.record.best is None:
            conductor.conduct(searching)
        if conductor.stopped_by is None:
            display.say(in_words(searching.conclude(), book.trials(recipe)))


def _conclude(ours: Context, file: StudyFile, book: Book, planned: Sequence[Cell], stopped_by: int | None) -> int:
    """Say how the study ended, and what came of it; the exit code."""
    elsewhere = "" if book.path == _default(file.path) else f" --out {book.path}"
    again = f"taskkit study {file.path}{elsewhere}"
    if stopped_by is not None:
        book.end("stopped")
        say(f"Stopped; what went on is saved. Go on with: {again}")
        return 128 + stopped_by
    failed = [*book.named("failed", "stopped")]
    _derive(ours, file, book, planned)
    book.end("failed" if failed else "finished")
    if book.named("finished"):
        _compare(ours, book.path)
        if file.study.report:
            _report(ours, book)
    for each in failed:
        say(f"{each.name} {each.status}: {each.reason}", err=True)
    if failed:
        tested = [each for each in book.record.cells if each.trial is None]
        say(
            f"{len(failed)} of {len(tested)} runs did not finish; what they printed is beside each, in "
            f"{book.path / failed[0].name}.txt. Once that is mended: {again} --retry",
            err=True,
        )
    say(f"study: {book.path}")
    return FAILED if failed else 0


def _derive(ours: Context, file: StudyFile, book: Book, planned: Sequence[Cell]) -> None:
    """Make the estimates of folds and the ensembles that the study wants."""
    from taskkit.study.groups import ensembles, folded

    if file.study.folds is None and not file.study.ensemble:
        return
    from taskkit.study.derived import ensemble, pooled

    components = ours.plugins.components
    done = {each.name for each in book.named("finished")}
    tested = list[str]()
    for method, folds in folded(planned).items():
        if missing := [each for each in folds if each not in done]:
            say(f"{method}: no estimate of all folds, since {', '.join(missing)} did not finish", err=True)
            continue
        try:
            book.derive(pooled(book.path, method, folds, components))
        except TaskkitError as error:
            say(f"no estimate of all folds: {error}", err=True)
        else:
            tested.append(method)
    for name, members in ensembles(file.study.ensemble, planned, {*done, *tested}).items():
        try:
            book.derive(ensemble(book.path, name, members, components))
        except TaskkitError as error:
            say(f"no ensemble: {error}", err=True)


def _compare(ours: Context, directory: Path) -> None:
    import shutil

    from taskkit.compare import layout
    from taskkit.compare.comparison import compare

    try:
        found = compare([str(directory)], ours.plugins.components, across=True)
    except TaskkitError as error:
        say(f"The runs cannot be compared: {error}", err=True)
    else:
        say(f"\n{layout.text(found, shutil.get_terminal_size().columns)}\n")


def _report(ours: Context, book: Book) -> None:
    from taskkit.cli.report import write_report
    from taskkit.compare.reading import find

    try:
        several = len(find([str(book.path)])[0]) > 1
        write_report(ours, book.path / "report.html", [str(book.path)], across=several)
    except TaskkitError as error:
        say(f"No report was written: {error}", err=True)


def _announce(file: StudyFile, planned: Sequence[Cell], left: Sequence[Cell], directory: Path, deep: bool) -> None:
    """Say how much is to be run, and what that takes as far as it is known."""
    from taskkit.batches.entries import size_text
    from taskkit.study.estimate import estimate, from_before
    from taskkit.wording import duration

    taken = from_before([directory, Path("runs")])
    if deep:
        taken |= _tried(left)
    found, places = estimate(left, taken), file.launch.processes
    search = file.study.search
    if search is not None:
        say(f"{file.title}: first a search for each of {len(file.entries)} recipe(s), without any test")
    done = f", {len(planned) - len(left)} of them done" if len(left) < len(planned) else ""
    say(f"{file.title}: {len(planned)} runs of {len(file.entries)} recipe(s){done}, {places} at a time, in {directory}")
    if found.known:
        of = "" if found.known == found.runs else f" for {found.known} of them; of the others nothing is known"
        say(f"about {duration(found.seconds / places)} and {size_text(found.size)} on the disk{of}")
    elif found.runs:
        say("how long they take is not known: none of these recipes was run here before; --deep tries each in short")


def _tried(cells: Sequence[Cell]) -> dict[str, Taken]:
    with loading():
        from taskkit.study.ahead import looked_ahead
        from taskkit.study.estimate import recipe_of
    return {recipe_of(cell.plain): taken for cell, taken in looked_ahead(cells)}


def _display(directory: Path, total: int, done: int) -> Lines | Moving:
    from rich.console import Console

    from taskkit.study.display import Lines, Moving

    if sys.stdout.isatty():
        return Moving(Console(), directory, total, done)
    return Lines(say)
