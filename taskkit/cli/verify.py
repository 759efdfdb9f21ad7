"""`taskkit verify`: proofs that what should come out alike does, made for real on a small scale."""

from __future__ import annotations

import json
import math
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskkit.cli import Context
from taskkit.cli.loading import loading
from taskkit.cli.output import say

if TYPE_CHECKING:
    from taskkit.verify.finding import Finding, Proof

WIDEST = 100


@click.command(name="verify", short_help="Prove that a run can be resumed, repeated and trusted.")
@click.argument("words", nargs=-1, required=True, metavar="RUN|RECIPE… [KEY=VALUE…] [PROOF…]")
@click.option(
    "--steps", type=click.IntRange(min=4), default=12, show_default=True, help="Optimiser steps of a training."
)
@click.option(
    "--examples", type=click.IntRange(min=16), default=48, show_default=True, help="Examples that are compared."
)
@click.option("--kills", type=click.IntRange(min=1), default=2, show_default=True, help="How often resume is killed.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides where it is killed, and the orders.")
@click.option("--tolerance", type=click.FloatRange(min=0), help="What precision lets pass, of losses; default: 0.05.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(
    ours: Context,
    words: Sequence[str],
    steps: int,
    examples: int,
    kills: int,
    seed: int,
    tolerance: float | None,
    as_json: bool,
) -> None:
    """Prove that what should come out alike does, by short trainings in temporary directories.

    PROOFs are resume, accumulate, determinism, precision, devices, batch-size, order, processes, export and onnx; all,
    unless some are named.
    What was found about a RUN is kept in its verify.json. Exit code 1: a proof failed.
    """
    with loading():
        from taskkit.loaded_run import load_run
        from taskkit.recipe.load import load, split
        from taskkit.runs.manifest import FILE
        from taskkit.verify import finding
        from taskkit.verify.lab import Bounds
        from taskkit.verify.proofs import verify

    subjects, proofs = _told_apart(words)
    files, overrides = split(subjects)
    run = Path(files[0]) if files and Path(files[0], FILE).exists() else None
    if run is not None and files[1:]:
        raise click.UsageError(f"There is no proof named {files[1]!r}. Expected some of {', '.join(finding.PROOFS)}.")
    if run is not None and overrides:
        raise click.UsageError(
            f"{run} is a run: it is verified as it was. Give {run}/recipe.yaml with changes instead."
        )
    if not files:
        raise click.UsageError("Name a run directory or a recipe, then the proofs.")
    plugins = ours.plugins
    loaded = None if run is None else load_run(run, plugins=plugins)
    if run is not None:
        finding.read(run)  # What cannot be added to is told before any work.
    recipe = load([run / "recipe.yaml"] if run else files, overrides, plugins).recipe
    found = []
    for each in verify(recipe, plugins, proofs, Bounds(steps, examples, kills, seed), run=loaded, tolerance=tolerance):
        found.append(each)
        if run is not None:
            finding.keep(run, [each])
        if not as_json:
            say("\n".join(_lines(each)))
    if as_json:
        say(_json(words, found))
    if any(each.outcome == "fail" for each in found):
        raise click.exceptions.Exit(1)


def _told_apart(words: Sequence[str]) -> tuple[list[str], Sequence[Proof]]:
    """What is verified, and the proofs; a file of a proof's name is a file when it stands first."""
    from taskkit.verify.finding import PROOFS
    from taskkit.wording import did_you_mean

    named = [word for at, word in enumerate(words) if at and word in PROOFS]
    rest = [word for at, word in enumerate(words) if not at or word not in PROOFS]
    for word in rest[1:]:
        near = did_you_mean(word, PROOFS)
        if near and not Path(word).exists() and "=" not in word:
            raise click.UsageError(f"There is no proof named {word!r}.{near}")
    return rest, [proof for proof in PROOFS if proof in named or not named]


def _json(words: Sequence[str], findings: Iterable[Finding]) -> str:
    found = [asdict(each) for each in findings]
    return json.dumps(
        {"verified": words[0], "ok": all(f["outcome"] != "fail" for f in found), "findings": found}, indent=2
    )


def _lines(finding: Finding) -> list[str]:
    """What a person reads of a finding, as wide as the terminal."""
    width = min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)
    said = [finding.compared, _difference(finding), finding.advice]
    return [
        f"{finding.proof}: {finding.outcome}",
        *(
            line
            for text in said
            if text
            for line in textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="  ")
        ),
    ]


def _difference(finding: Finding) -> str:
    if finding.largest is None or finding.limit is None:
        return ""
    if finding.largest == 0:
        return "the same, bit for bit" if finding.limit == 0 else "no difference"
    size = "not comparable" if math.isinf(finding.largest) else f"{finding.largest:.2g}"
    allowed = "nothing" if finding.limit == 0 else f"{finding.limit:g}"
    return f"largest difference {size} ({finding.where}); {allowed} is allowed"
