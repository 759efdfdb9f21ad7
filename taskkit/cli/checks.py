"""How what was looked at is told, and the exit code that goes with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import click

from taskkit.cli.output import say
from taskkit.cli.table import print_table
from taskkit.plugins.health import Check

COLUMNS = ("state", "what", "found", "do")


def tell(checks: Sequence[Check], as_json: bool) -> None:
    """Print checks; ends with exit code 1 where something is wrong."""
    wrong = [check for check in checks if check.state == "wrong"]
    if as_json:
        say(json.dumps({"ok": not wrong, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        rows = [(check.state, check.what, check.found, check.do) for check in checks]
        print_table(COLUMNS, rows, fold=("found", "do"))
    if wrong:
        raise click.exceptions.Exit(1)
