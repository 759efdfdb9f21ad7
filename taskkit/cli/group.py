"""A group of verbs of which only the one that is called is imported."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from taskkit.wording import did_you_mean


class LazyGroup(click.Group):
    """Verbs by name, each with where it is and the line that help shows of it."""

    def __init__(self, *args: Any, verbs: Mapping[str, tuple[str, str]], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all verbs."""
        return [*self.verbs]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb."""
        if cmd_name not in self.verbs:
            return None
        module, _, name = self.verbs[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs and their lines, without importing one."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self.verbs.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the verb that is called, or suggest one."""
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            ctx.fail(f"No verb named {args[0]!r}.{self.suggestion(ctx, args[0])}")
        return super().resolve_command(ctx, args)

    def suggestion(self, ctx: click.Context, name: str) -> str:
        """` Did you mean …?` for a verb that is not there, or nothing."""
        return did_you_mean(name, self.list_commands(ctx))
