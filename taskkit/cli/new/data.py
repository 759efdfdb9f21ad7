"""`taskkit new data`: what a person's files are, by what the plugins say, and a recipe that trains on them."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskkit.cli.output import say

if TYPE_CHECKING:
    from taskkit.cli import Context
    from taskkit.contracts.component import PluginInfo
    from taskkit.contracts.guess import Columns, Guess, UserData
    from taskkit.plugins.discovery import Plugins

CLEAR = 0.1
"""By so much a guess must fit better than any other to be taken without asking."""
COLUMNS = 12
"""So many columns of a table are named where none is recognised."""


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
    if wanted is not None:
        _refuse_unknown(wanted, context.plugins)
    data = look_at(path)
    for problem in data.unreadable:
        say(f"passed over: {problem}", err=True)
    guesses = context.plugins.guesses(data)
    for _, guess in guesses:
        say(f"{guess.task}: {guess.taken_for} ({guess.fits:.0%})")
        say("\n".join(f"  {reason}" for reason in guess.why))
    owner, guess = _chosen(data, guesses, wanted, context.plugins)
    _write(target, path, owner, guess, context.plugins)
    word = shlex.quote(str(target))
    say(f"\n{target}: a recipe for {guess.task}. Next:\n  taskkit check {word} --data\n  taskkit run {word}")


def _refuse_existing(target: Path) -> None:
    """Raise DataError where something would be overwritten, before anything is looked at."""
    from taskkit.errors import DataError

    if target.exists() or target.is_symlink():
        raise DataError(f"{target}: this is there already, and nothing is overwritten. Name another with -o.")


def _refuse_unknown(wanted: str, plugins: Plugins) -> None:
    """Raise DataError for a word that is no task and no modality."""
    from taskkit.errors import DataError
    from taskkit.wording import did_you_mean

    tasks = [component.name for component in plugins.components if component.kind == "task"]
    known = [*dict.fromkeys(task.partition(".")[0] for task in tasks), *tasks]
    if wanted not in known:
        raise DataError(
            f"--as: {wanted!r} is no task or modality.{did_you_mean(wanted, known)} There are {', '.join(known)}."
        )


def _chosen(
    data: UserData, guesses: Sequence[tuple[PluginInfo, Guess]], wanted: str | None, plugins: Plugins
) -> tuple[PluginInfo, Guess]:
    """The guess that is taken; raises DataError where there is none, or more than one."""
    from taskkit.errors import DataError

    path = data.path
    meant = [each for each in guesses if wanted is None or wanted in _called(each[1].task)]
    names = ", ".join(guess.task for _, guess in guesses)
    if not meant:
        unknown = "no installed plugin knows what this is" if wanted is None else f"it is not recognised as {wanted!r}"
        raise DataError("\n  ".join([f"{path}: {unknown}.", *_seen(data, names), *_advice(data, wanted, plugins)]))
    first, *others = meant
    if others and first[1].fits - others[0][1].fits < CLEAR and wanted != first[1].task:
        raise DataError(f"{path}: it may be each of these. Choose one: --as NAME, one of {names}.")
    return first


def _seen(data: UserData, names: str) -> Iterator[str]:
    """What there is instead of what is recognised, a sentence each."""
    from taskkit.wording import on_one_line, some

    if names:
        yield f"It may be {names}."
    for table, columns in data.tables.items():
        yield f"{table} has the columns {on_one_line(some([repr(name) for name in columns], COLUMNS))}."
    if data.files:
        yield f"There are other files: {on_one_line(some([str(file) for file in data.files]))}."


def _advice(data: UserData, wanted: str | None, plugins: Plugins) -> Iterator[str]:
    """What to do with data that are not recognised, a sentence each."""
    if wanted is None:
        if any(map(_of_numbers, data.tables.values())):
            yield "For rows of numbers, `taskkit new plugin NAME --like table` writes a plugin that learns from them."
        yield (
            "Folders of images by class, tables of texts and labels, tables that list images or recordings, and logs "
            "of users, items and times are known to the plugins of taskkit. --as TASK tells what a task needs."
        )
        return
    for component, settings in _readers(wanted, plugins):
        yield f"{component} takes columns by settings, here with the names that it expects: {settings}."
    yield (
        "Rename the columns, or name them in a recipe of your own: `taskkit list recipes` shows those to copy by "
        "`taskkit new recipe NAME`, and `taskkit show DATA` all settings of data."
    )


def _of_numbers(columns: Columns) -> bool:
    """Whether columns hold numbers, but for those that are classes."""
    from taskkit.data.userdata import class_columns

    classes = class_columns(columns)
    numbers = [all(map(_is_number, cells)) for name, cells in columns.items() if name not in classes]
    return bool(numbers) and all(numbers)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _readers(wanted: str, plugins: Plugins) -> Iterator[tuple[str, str]]:
    """Data of a task or modality that take columns of a table, and the settings that name these, as text."""
    from taskkit.contracts.settings import settings
    from taskkit.plugins.compatibility import section_of

    tasks = [each for each in plugins.components if each.kind == "task" and wanted in _called(each.name)]
    targets = {target for task in tasks for target in task.targets}
    modalities = {task.name.partition(".")[0] for task in tasks}
    for each in plugins.components:
        if each.kind == "data" and each.name.partition(".")[0] in modalities and targets & set(each.targets):
            fields = settings(section_of(each, plugins.owner(each)))
            named = [f for f in fields if f.name.endswith("_column") and isinstance(f.default, str)]
            if named:
                yield each.name, ", ".join(f"{field.name} ({field.default!r})" for field in named)


def _called(task: str) -> tuple[str, str]:
    """What --as may call a task: by its name or its modality."""
    return task, task.partition(".")[0]


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
    yield f"#   run:     taskkit run {on_one_line(shlex.quote(str(target)))}"
    yield f"#   data:    taken by `taskkit new data {on_one_line(shlex.quote(str(path)))}` for what they are, since"
    for reason in guess.why:
        yield f"#            {on_one_line(reason)}"
