"""`taskkit scrub`: take out of runs what they have of their examples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from taskkit.batches.entries import size_text
from taskkit.cli.output import say
from taskkit.errors import CheckpointError
from taskkit.runs import manifest
from taskkit.runs.scrub import Scrubbed, scrub


@click.command(name="scrub", short_help="Remove what runs have of their examples.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN…")
@click.option("--checkpoints", is_flag=True, help="Remove checkpoints too: the run can be compared, and not asked.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(runs: tuple[Path, ...], checkpoints: bool, dry_run: bool, as_json: bool) -> None:
    """Remove texts, names, files and predictions of single examples from run directories, and say what that was.

    Scores, intervals and what `taskkit compare` needs stay. It cannot be undone.
    """
    for run in runs:
        manifest.read(run)  # A word that names none is told before anything is removed.
    done = []
    for run in runs:
        found = scrub(run, checkpoints=checkpoints, dry_run=dry_run)
        done.append({"run": str(run), **asdict(found)})
        if not as_json:
            # At once: the next run may be refused, and what went from this one cannot be had back.
            say("\n".join(_lines(str(run), found, dry_run)))
    if as_json:
        say(json.dumps({"dry_run": dry_run, "runs": done}, indent=2))


def _learnt(run: Path, checkpoints: Sequence[str]) -> str:
    """What the processor learnt, in words, as one of the checkpoints has it."""
    from taskkit.runs import checkpoint

    name = next((name for name in checkpoints if name.endswith(".ckpt")), None)
    if name is None:
        return "what the task made of them"
    try:
        found = checkpoint.learnt(run / name)
    except CheckpointError as error:
        return f"what the processor learnt, which cannot be told ({error})"
    return f"what the processor learnt: {', '.join(found)}" if found else "nothing that the processor learnt"


def _lines(run: str, found: Scrubbed, dry_run: bool) -> Iterator[str]:
    freed = size_text(max(0, sum(each.bytes for each in found.removed)))
    doing = "to remove" if dry_run else "removed"
    yield f"{run}: {freed} {doing}" if found.removed else f"{run}: nothing to remove"
    for each in found.removed:
        yield f"  {each.file} ({size_text(max(0, each.bytes))}): {each.what}"
    if found.checkpoints:
        learnt = _learnt(Path(run), found.checkpoints)
        yield (
            f"  kept: {', '.join(found.checkpoints)}, with weights and {learnt}. Both may lead back to examples: "
            "--checkpoints removes them."
        )
    if found.others:
        yield f"  kept: {', '.join(found.others)}; look whether they name anybody."
