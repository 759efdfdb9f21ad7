"""`taskkit new recipe`: a recipe of one's own, which knows what it is a copy of."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskkit.cli.output import say

if TYPE_CHECKING:
    from taskkit.cli import Context


@click.command(name="recipe")
@click.argument("recipe", metavar="NAME|FILE")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The copy; default: the recipe's own name, here.")
@click.pass_obj
def command(context: Context, recipe: str, out: Path | None) -> None:
    """Copy a recipe that a plugin ships, or a file, and record where it is from.

    `taskkit show COPY --drift` says later what has changed since.
    """
    from taskkit.recipe.copies import copied

    target = Path(f"{Path(recipe).stem}.yaml") if out is None else out
    _write(target, copied(recipe, target, context.plugins))
    word = shlex.quote(str(target))
    say(f"{target}: change what you like, then\n  taskkit run {word}\n  taskkit show {word} --drift", err=True)


def _write(target: Path, text: str) -> None:
    """Write a recipe; raises RecipeError where something is there, or nothing can be written."""
    from taskkit.errors import Problem, RecipeError

    try:
        with target.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        message = "this is there already, and nothing is overwritten. Name another with -o."
        raise RecipeError([Problem(str(target), "", message)]) from None
    except OSError as error:
        message = f"it cannot be written: {error.strerror}. Name another with -o."
        raise RecipeError([Problem(str(target), "", message)]) from None
