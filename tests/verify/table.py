"""`python -m tests.verify.table [PAGE]`: all proofs of all modalities and packages, written as a page; minutes."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import torch

from taskkit.plugins.discovery import from_environment
from taskkit.recipe.load import load
from taskkit.runs.record import cpu
from taskkit.verify.finding import PROOFS, Finding, Proof
from taskkit.verify.lab import Bounds, implementations
from taskkit.verify.proofs import verify
from taskkit.verify.workshop import workshops
from tests.verify.subjects import install, subjects

BOUNDS = Bounds(steps=6, examples=24, kills=1)
TEXT = """# All proofs, of all modalities

What [`taskkit verify`](../how-to/trust.md) finds about a small run of each modality, on drawn, spoken and written data
(`tests/runs/0.1`), and about the packages of `tests/packages`, which strangers might have written ({date}, commit
{commit}, {machine}, `make proofs`: {bounds}). A number is the largest difference, in
the measure of the proof; 0 is the same, bit for bit. Tests hold `resume`, `accumulate`, `batch-size`, `order` and
`export` of each.

{table}

{reasons}
"""


def found(folder: Path) -> Iterator[tuple[str, dict[Proof, Finding]]]:
    """What each subject's proofs find, one subject after the other."""
    os.environ |= {"PYTHONPATH": str(install(folder / "site")), "TASKKIT_CACHE": str(folder / "cache")}
    sys.path.insert(0, os.environ["PYTHONPATH"])
    torch.set_num_threads(1)
    plugins = from_environment()
    recipes = {name: load([each.recipe], each.changes, plugins).recipe for name, each in subjects(folder).items()}
    modules = sorted({module for recipe in recipes.values() for module in implementations(recipe)})
    with workshops(modules, forks=True) as ready:
        for name, recipe in recipes.items():
            yield name, {each.proof: each for each in verify(recipe, plugins, PROOFS, BOUNDS, ready=ready)}


def page(results: Mapping[str, Mapping[Proof, Finding]]) -> str:
    """The page, with the reasons of what did not pass below its table."""
    lines = [f"| | {' | '.join(PROOFS)} |", f"|---|{'---|' * len(PROOFS)}"]
    lines += [f"| {name} | {' | '.join(_cell(each[proof]) for proof in PROOFS)} |" for name, each in results.items()]
    reasons: dict[str, list[str]] = {}
    for name, findings in results.items():
        for proof, each in findings.items():
            if each.outcome != "pass":
                told = each.compared if each.outcome == "skipped" else f"fails: {each.compared}; {each.advice}"
                reasons.setdefault(told, []).append(f"`{proof}` of {name}")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    return TEXT.format(
        date=datetime.now(UTC).date(),
        commit=commit.strip(),
        machine=f"Python {platform.python_version()}, {cpu()}",
        bounds=f"{BOUNDS.steps} steps, {BOUNDS.examples} examples, {BOUNDS.kills} kill",
        table="\n".join(lines),
        reasons="\n".join(f"- {', '.join(where)}: {why}" for why, where in reasons.items()),
    )


def _cell(finding: Finding) -> str:
    if finding.outcome == "skipped":
        return "skipped"
    size = "" if finding.largest is None else f"{finding.largest:.1g}"
    return size if finding.outcome == "pass" else f"**fail** {size}".strip()


if __name__ == "__main__":
    PAGE = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/results/proofs.md")
    with tempfile.TemporaryDirectory() as place:
        results = {}
        for subject, findings in found(Path(place)):
            results[subject] = findings
            print(subject, {proof: (each.outcome, each.largest) for proof, each in findings.items()}, file=sys.stderr)
        PAGE.write_text(page(results))
