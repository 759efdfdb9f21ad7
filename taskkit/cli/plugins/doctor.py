"""`taskkit plugins doctor`: what is wrong with plugins and the packages beside them."""

from __future__ import annotations

import click

from taskkit.cli import Context
from taskkit.cli.checks import tell
from taskkit.plugins import health


@click.command(name="doctor", short_help="Look for what is wrong with plugins, and say what to do.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(ours: Context, as_json: bool) -> None:
    """Look at all plugins: names that two claim, what does not load, another API, requirements that are not met,
    releases that are known to be bad, and packages that inject code into every run.

    Exit code 1: something is wrong. `taskkit doctor` looks at the machine too.
    """
    tell([*health.checks(ours.plugins)], as_json)
