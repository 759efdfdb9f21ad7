"""`taskkit plugins check`: whether a plugin keeps to the contracts, and which level it reaches."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskkit.cli import Context
from taskkit.cli.loading import loading
from taskkit.cli.output import say

if TYPE_CHECKING:
    from taskkit.testing.finding import Finding, Level
    from taskkit.testing.plan import Unit

WIDEST = 100


@click.command(name="check", short_help="Check a plugin, and say which level it reaches.")
@click.argument("plugin", metavar="DISTRIBUTION|FOLDER")
@click.option(
    "--level",
    type=click.Choice(["bronze", "silver", "gold"]),
    help="Make the checks up to this level; exit code 1 unless it is reached.",
)
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    help="The plugin's conformance.yaml; default: that of the folder's tests, or the one in its package.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(ours: Context, plugin: str, level: Level | None, file: Path | None, as_json: bool) -> None:
    """Check an installed plugin by its distribution or source folder, and say which level it reaches.

    Bronze: it loads fast, and what it declares is whole. Silver: it learns, resumes and answers as the contracts
    promise. Gold: it holds in bf16, in two processes, exported and from its wheel. Exit code 1: a check failed, bronze
    is not reached, or not the level that was asked for.
    """
    from taskkit.testing.plan import CHECKS, due
    from taskkit.testing.subject import find

    subject = find(plugin, ours.plugins, [check.name for check in CHECKS], file)
    with loading():  # What has no name needs no torch.
        from taskkit.testing.kit import kit, report

    asked: Level = level or "gold"
    units = due(subject, asked)
    widths = [max((len(word) for word in words), default=0) for words in zip(*map(_words, units), strict=True)]
    found: list[Finding] = []
    with kit(subject) as opened:
        for unit in units:
            found.append(opened.finding(unit))
            if not as_json:
                say("\n".join(_lines(found[-1], [w.ljust(n) for w, n in zip(_words(unit), widths, strict=True)])))
    said = report(subject, found, asked)
    say(json.dumps(said.plain(), indent=2) if as_json else said.said)
    if said.failed or said.level is None or (level is not None and said.level != level):
        raise click.exceptions.Exit(1)


def _words(unit: Unit) -> tuple[str, str, str]:
    """What is checked, for a reader."""
    return unit.check.level, unit.check.name, unit.of


def _lines(finding: Finding, words: Sequence[str]) -> list[str]:
    """What a person reads of a finding: a line, and below it what does not hold, and what to do."""
    width = min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)
    told = [] if finding.outcome == "pass" else filter(None, (finding.found, finding.exemption, finding.cure))
    return [
        f"{'  '.join(words)}  {finding.outcome.ljust(7)}  {finding.seconds:5.1f} s",
        *(
            line
            for text in told
            for line in textwrap.wrap(text, width, initial_indent="    ", subsequent_indent="    ")
        ),
    ]
