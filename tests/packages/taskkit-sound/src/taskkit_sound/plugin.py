"""What the plugin declares."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from taskkit import Component, Guess, RecipeFile, UserData, hookimpl

taskkit_api = ">=0.2,<0.3"


@hookimpl
def taskkit_components() -> Iterable[Component]:
    yield Component(
        kind="model",
        name="sound.tone",
        summary="A model that answers with one tone.",
        implementation="taskkit_sound.tone:Tone",
        section="taskkit_sound.sections:Tone",
        input="taskkit_sound.sections:Sound",
        targets=("taskkit:Classes",),
    )


@hookimpl
def taskkit_recipes() -> Iterable[RecipeFile]:
    yield RecipeFile("tone", Path(__file__).parent / "recipes" / "tone.yaml")


@hookimpl
def taskkit_commands() -> Iterable[click.Command]:
    @click.command()
    def hum() -> None:
        """Hum a tone."""
        click.echo("hmm")

    yield hum


@hookimpl
def taskkit_recognise(data: UserData) -> Iterable[Guess]:
    if data.path.suffix == ".tones":
        parts = {"model": {"name": "sound.tone"}, "data": {"name": "sound.tones", "file": str(data.path)}}
        yield Guess("a file of tones", ["it ends in .tones"], fits=0.9, recipe=parts)


@hookimpl
def taskkit_callbacks(recipe: Any) -> Iterable[Any]:
    from taskkit_sound.bell import Bell  # torch is imported by now, and not before

    if recipe.model.name == "sound.tone":
        yield Bell()
