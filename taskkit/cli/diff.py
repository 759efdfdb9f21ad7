"""`taskkit diff`: what two runs have otherwise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from taskkit.cli.output import say
from taskkit.cli.table import print_table
from taskkit.runs import manifest
from taskkit.runs.difference import SECTIONS, Differing, differences
from taskkit.wording import shown

COLUMNS = ("what", "one", "other", "by")


@click.command(name="diff", short_help="Show what differs between two runs.")
@click.argument("one", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path))
@click.option("--only", type=click.Choice(SECTIONS), multiple=True, help="Only these; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(one: Path, other: Path, only: tuple[str, ...], as_json: bool) -> None:
    """Show what differs between the runs ONE and OTHER: recipe, environment, data and metrics.

    Times, names and costs are left out, since they always differ.
    """
    found = differences(manifest.read(one), manifest.read(other))
    found = [each for each in found if not only or each.section in only]
    if as_json:
        differing = [asdict(each) for each in found]
        say(json.dumps({"one": str(one), "other": str(other), "differences": differing}, indent=2, default=str))
    elif found:
        print_differences(found)
    else:
        say("nothing differs")


def print_differences(found: Sequence[Differing]) -> None:
    """Print what differs, a line each."""
    print_table(COLUMNS, [_cells(each) for each in found], right=("by",), fold=("one", "other"))


def _cells(each: Differing) -> tuple[str, ...]:
    values = (each.one, each.other)
    numbers = each.section == "metrics" and None not in values
    by = f"{each.other - each.one:+.4g}" if numbers else ""
    one, other = ("—" if value is None and each.section != "recipe" else _said(value) for value in values)
    return (f"{each.section} {each.key}", one, other, by)


def _said(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else shown(value)
