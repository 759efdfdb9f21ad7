"""A verb that takes a recipe: an option that it has not is told as the change of the recipe that was meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click


class RecipeVerb(click.Command):
    """A command whose words are recipes and changes of them."""

    def parse_args(self, ctx: click.Context, args: Any) -> Any:
        """Take the arguments; an unknown option that is a setting is told with the way to write that."""
        words = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            meant = next(_settings(error.option_name.lstrip("-").replace("-", "_")), None)
            if meant is None:
                raise
            value = _value(error.option_name, words)
            raise click.UsageError(
                f"No such option: {error.option_name}. A recipe's settings are changed without dashes: {meant}={value}",
                ctx,
            ) from None


def _settings(name: str) -> Iterator[str]:
    """The settings of the host that are called so, or end so, as `trainer.max_epochs` does on `epochs`."""
    from taskkit.contracts.recipe import SECTIONS
    from taskkit.contracts.settings import settings

    fields = [(section, field.name) for section, kind in SECTIONS.items() for field in settings(kind)]
    yield from (f"{section}.{field}" for section, field in fields if field == name)
    yield from (f"{section}.{field}" for section, field in fields if field.endswith(f"_{name}"))


def _value(option: str, words: list[str]) -> str:
    """What the option was given, as far as that can be told."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == option:
            return following or "VALUE"
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return "VALUE"
