"""Renders results as a page of the documentation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

PAGE = "steps.md"

Result = Mapping[str, Any]


def page(folder: Path) -> str:
    """The page of all results in a folder."""
    results = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return "\n".join(_lines([result for result in results if result.get("benchmark") == "steps"]))


def _lines(results: Sequence[Result]) -> Iterator[str]:
    yield "# The cost of a step\n"
    yield "Measured with `tests/benchmarks/steps.py`, which also renders this page from the results beside it."
    yield "All rows of a table do the same work on the same batches; only the driver differs. A row whose first 20"
    yield "losses are not those of the raw loop has FAILED and no figure.\n"
    for result in results:
        yield from _cpu(result)
        yield ""


def _cpu(result: Result) -> Iterator[str]:
    p = result["protocol"]
    yield "## On a CPU: what the host adds\n"
    yield f"{_setting(result)} A small MLP in fp32, one torch thread: {p['rounds']} rounds of {p['steps']} steps,"
    yield f"each row between two runs of the raw loop. Median, with the 95 % bootstrap interval. {_load(result)}\n"
    yield "| driver | µs a step | added to the raw loop, µs |"
    yield "|---|---:|---:|"
    for row in result["rows"]:
        cells = (f"{row['us']:.0f}", _interval(row.get("added"))) if "us" in row else ("FAILED", "")
        yield f"| {row['says']} | {cells[0]} | {cells[1]} |"
    shares = {name: share for row in result["rows"] for name, share in row.get("share", {}).items()}
    says = {row["row"]: row["says"] for row in result["rows"]}
    for name, (value, low, high) in shares.items():
        yield f"\ntaskkit adds {value:.2f} × ({low:.2f}–{high:.2f}) what this adds: {says[name]}."


def _load(result: Result) -> str:
    before, after = (load[0] for load in result["machine"]["load"])
    return f"Load average {before:.1f} before and {after:.1f} after."


def _interval(figure: Sequence[float] | None) -> str:
    return "" if figure is None else "{:.0f} ({:.0f}–{:.0f})".format(*figure)


def _setting(result: Result) -> str:
    machine, versions = result["machine"], result["packages"]
    git = result["git"] or {"commit": "no commit", "dirty": False}
    changed = " with changes" if git["dirty"] else ""
    packages = ", ".join(f"{name} {versions[name]}" for name in ("torch", "pytorch-lightning"))
    return (
        f"{result['date'][:10]}, commit {git['commit'][:12]}{changed}, {machine['device']}, {packages}: "
        f"`{result['command']}`."
    )
