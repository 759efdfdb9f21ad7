"""`taskkit new data`: what a person's files are, by what the plugins say, and a recipe that trains on them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskkit.cli.output import say

if TYPE_CHECKING:
    from taskkit.cli import Context
    from taskkit.contracts.component import PluginInfo
    from taskkit.contracts.guess import Guess
    from taskkit.plugins.discovery import Plugins

CLEAR = 0.1
"""By so much a guess must fit better than any other to be taken without asking."""


@click.command(name="data")
@click.argument("path", metavar="FOLDER|TABLE", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The recipe; default: the name of the data, .yaml.")
@click.option("--as", "wanted", metavar="NAME", help="What the data are: a task, or a modality such as image.")
@click.pass_obj
def command(context: Context, path: Path, out: Path | None, wanted: str | None) -> None:
    """Look at files, say what they were taken for and why, and write a recipe that trains on them.

    Each installed plugin says what it would take them for. The surest is taken where it is clear, else --as chooses.
    """
    from taskkit.data.userdata import look_at

    target = Path(f"{path.absolute().name.partition('.')[0]}.yaml") if out is None else out
    _refuse_existing(target)
    guesses = context.plugins.guesses(look_at(path))
    for _, guess in guesses:
        say(f"{guess.task}: {guess.taken_for} ({guess.fits:.0%})")
        say("\n".join(f"  {reason}" for reason in guess.why))
    owner, guess = _chosen(path, guesses, wanted)
    _write(target, path, owner, guess, context.plugins)
    say(f"\n{target}: a recipe for {guess.task}. Next:\n  taskkit check {target} --data\n  taskkit run {target}")


def _refuse_existing(target: Path) -> None:
    """Raise DataError where something would be overwritten, before anything is looked at."""
    from taskkit.errors import DataError

    if target.exists() or target.is_symlink():
        raise DataError(f"{target}: this is there already, and nothing is overwritten. Name another with -o.")


def _chosen(path: Path, guesses: Sequence[tuple[PluginInfo, Guess]], wanted: str | None) -> tuple[PluginInfo, Guess]:
    """The guess that is taken; raises DataError where there is none, or more than one."""
    from taskkit.errors import DataError

    if not guesses:
        raise DataError(
            f"{path}: no installed plugin knows what this is. Folders of images by class, tables of texts and labels, "
            "tables that list images or recordings, and logs of users, items and times are known to those of taskkit. "
            "`taskkit list data` shows what there is; a recipe of one's own names the columns."
        )
    meant = [each for each in guesses if wanted is None or wanted in (each[1].task, each[1].task.partition(".")[0])]
    names = ", ".join(guess.task for _, guess in guesses)
    if not meant:
        raise DataError(f"{path}: none of what it may be is called {wanted!r}. One of {names} was expected.")
    first, *others = meant
    if others and first[1].fits - others[0][1].fits < CLEAR and wanted != first[1].task:
        raise DataError(f"{path}: it may be each of these. Choose one: --as NAME, one of {names}.")
    return first


def _write(target: Path, path: Path, owner: PluginInfo, guess: Guess, plugins: Plugins) -> None:
    """Check a recipe and write it; raises PluginError where it has problems."""
    from taskkit.errors import DataError, PluginError, RecipeError
    from taskkit.recipe.dump import document
    from taskkit.recipe.load import load
    from taskkit.wording import TELL_AUTHORS

    text = "\n".join(_header(target, path, guess)) + "\n" + document(guess.recipe, {})
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder, target.name)
        draft.write_text(text, encoding="utf-8")
        try:
            load([draft], [], plugins)
        except RecipeError as error:
            raise PluginError(f"The recipe of {owner} for {path} has problems:\n{error}\n  {TELL_AUTHORS}") from None
    try:
        with target.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise DataError(f"{target}: it cannot be written: {error.strerror}. Name another with -o.") from None


def _header(target: Path, path: Path, guess: Guess) -> Iterator[str]:
    from taskkit.wording import on_one_line

    yield f"# {target.name} — {on_one_line(guess.taken_for)}"
    yield f"#   run:     taskkit run {on_one_line(str(target))}"
    yield f"#   data:    taken by `taskkit new data {on_one_line(str(path))}` for what they are, since"
    for reason in guess.why:
        yield f"#            {on_one_line(reason)}"
