"""Renders what stages found as a page of the documentation; what was tried in small is no result."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from on_device.conducting import RECIPES, TESTS, WORKS
from on_device.kept import FINISHED, RUNNING

PAGE, FOLDER = "gpu.md", "gpu"
NONE = """No CUDA device was to be had yet, so there is no figure here.
[One call](../how-to/speed.md#measure-a-cuda-device) gives all of them.
"""
ABOUT = """# On a CUDA device

Measured with `tests/benchmarks/gpu.py`, which also renders this page from the results in `docs/results/gpu`.
"""
TABLES = {
    "resident": "Batches lie on the device, so that none is waited for.",
    "loaded": "Batches are read by the loader, in as many processes as taskkit chooses; by the defaults of Hugging "
    "Face's Trainer in none.",
}
WHERE = {"resident": "batches on the device", "loaded": "batches that are read"}
TIMES = """## Times

All rows of a table take the same batches to the same network, optimiser, learning rates and precision, from the same
weights; only the driver differs. What a recipe draws at random is off, and data are made up. All drivers are tuned by
the same changes of the recipe; Hugging Face's Trainer then also has no bar, no log and no look for NaN. A row whose
first 20 losses are not within 2 % of those of the loop written by hand has FAILED and no figure.

- A step is timed by CUDA events, between two synchronisations, after a warm-up: the median and the range of repetitions
  in turns, forwards and backwards, as many as the call's time allowed.
- MFU: operations as torch counts them in one batch, without those on padding, as a share of what the device is sold
  with.
- Memory includes the batches that lie on the device.
- Launches and synchronisations are those of a step in a profile of some further ones.
- Warm-up is that of the first repetition; the first row that compiles does so from nothing, others may find the same
  graph compiled.
"""
ONE = """Tuned: {tuned}. {warmup} steps of warm-up, then {steps} timed, each of the two at most {seconds:.0f} s long.
{peak}."""

Result = Mapping[str, Any]


def page(folder: Path) -> str:
    """The page of all results of CUDA devices in a folder."""
    read = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    found = {result["stage"]: result for result in read if _is_measured(result)}
    return "\n".join([ABOUT, *(_lines(found) if found else [NONE])]).rstrip() + "\n"


def _is_measured(result: Result) -> bool:
    return not result["tiny"] and "device" in result.get("machine", {})


def _lines(found: Mapping[str, Result]) -> Iterator[str]:
    if TESTS in found:
        yield from _tests(found[TESTS])
    if RECIPES in found:
        yield from _recipes(found[RECIPES])
    timed = [found[stage] for stage in WORKS if stage in found]
    yield from [TIMES] if timed else []
    for result in timed:
        yield from _times(result)


def _tests(result: Result) -> Iterator[str]:
    rows = result["rows"]
    states = ", ".join(
        f"{number} {state}" for state in ("passed", "failed", "skipped") if (number := _count(rows, state))
    )
    yield f"## Tests that need a CUDA device\n\n{_setting(result)} {states or 'none'}.\n"
    for row in rows:
        if row["state"] != "passed":
            yield f"- {row['state']}: `{row['test']}`: {row['reason']}"
    yield ""


def _count(rows: Sequence[Result], state: str) -> int:
    return sum(row["state"] == state for row in rows)


def _recipes(result: Result) -> Iterator[str]:
    yield f"## Recipes\n\n{_setting(result)} {result['together']} at a time, so that this says whether they train and"
    yield "not how fast, each for a share of the call's time. Where data are made up, the loss says that something is"
    yield "learnt and the test nothing.\n"
    yield "| recipe | data | became | steps | loss at the first and the last of these | memory, GiB | test |"
    yield "|---|---|---|---:|---:|---:|---|"
    for row in result["rows"]:
        yield f"| `{row['recipe']}` | {row['data']} | {' | '.join(_recipe_cells(row))} |"
    if missing := [name for name in result["recipes"] if name not in {row["recipe"] for row in result["rows"]}]:
        yield f"\nNot reached: {', '.join(f'`{name}`' for name in missing)}."
    yield ""


def _recipe_cells(row: Mapping[str, Any]) -> Sequence[str]:
    became = "FAILED" if row["state"] == "failed" else row["state"]
    became += f": {_cell(row['reason'])}" if row["reason"] else ""
    first, last = row.get("first_loss"), row.get("last_loss")
    losses = f"{first[1]:.3f} at {first[0]:,}, {last[1]:.3f} at {last[0]:,}" if first and last else ""
    memory = row.get("peak_memory_bytes")
    metrics = row.get("metrics") or {} if row["data"] != "made up" else {}
    tested = ", ".join(f"{name.removeprefix('test/')} {value:.4f}" for name, value in list(metrics.items())[:2])
    return became, f"{row.get('steps', 0):,}", losses, "" if memory is None else f"{memory / 2**30:.1f}", tested


def _times(result: Result) -> Iterator[str]:
    yield f"### {result.get('says', result['stage'])}\n\n{_setting(result)}"
    rows = result["rows"]
    if rows:
        peak = result["peak_flops"]
        yield ONE.format(
            tuned=", ".join(f"`{change}`" for change in result["tuned"]),
            peak=f"MFU is of {peak / 1e12:,.0f} TFLOP/s" if peak else "What the device is sold with is not known",
            **result["protocol"],
        )
    for table, says in TABLES.items():
        if mine := [row for row in rows if row["table"] == table]:
            yield f"\n{says}\n"
            yield from _table(result, mine)
    done = {(row["table"], row["says"]) for row in rows}
    if left := [row for row in result.get("planned", []) if (row["table"], row["says"]) not in done]:
        names = ", ".join(f"{row['says']} ({WHERE[row['table']]})" for row in left)
        yield f"\nNot reached in the time of the call: {names}."
    yield ""


def _table(result: Result, rows: Sequence[Result]) -> Iterator[str]:
    unit, scale = result["unit"]["name"], result["unit"]["scale"]
    heads = ["a step, ms", "by the clock, ms", "examples/s", f"{unit}/s", "padding", "MFU", "memory, GiB", "waiting"]
    heads += ["launches", "synchronisations", "recompilations", "warm-up, s", "repetitions × steps"]
    yield f"| driver | {' | '.join(heads)} |"
    yield f"|---|{'---:|' * len(heads)}"
    for row in rows:
        cells = [f"FAILED: {_cell(row['failed'])}", *[""] * (len(heads) - 1)] if "failed" in row else _cells(row, scale)
        yield f"| {row['says']} | {' | '.join(cells)} |"


def _cells(row: Mapping[str, Any], scale: float) -> list[str]:
    middle, low, high = row["milliseconds"]
    steps = sorted(set(row["steps"]))
    return [
        f"{middle:.1f}" if row["repetitions"] == 1 else f"{middle:.1f} ({low:.1f}–{high:.1f})",
        f"{row['milliseconds_by_clock'][0]:.1f}",
        f"{row['examples_per_second'][0]:,.0f}",
        f"{row['units_per_second'][0] / scale:,.0f}",
        f"{row['padding']:.1%}",
        "" if row["mfu"] is None else f"{row['mfu']:.1%}",
        f"{row['peak_memory_bytes'] / 2**30:.1f}",
        f"{row['waiting']:.1%}",
        *("" if row[name] is None else f"{row[name]:,.0f}" for name in ("launches", "synchronisations")),
        str(row["recompilations"]),
        f"{row['warmup_seconds']:.0f}",
        f"{row['repetitions']} × {steps[0]}" + (f"–{steps[-1]}" if len(steps) > 1 else ""),
    ]


def _cell(text: str) -> str:
    """A reason, on one line and so that it ends no cell."""
    return " ".join(text.split()).replace("|", "\\|")[:200]


def _setting(result: Result) -> str:
    """When, on what and by which command a result was measured, and how the stage ended, in sentences."""
    machine, packages = result["machine"], result["packages"]
    versions = ", ".join(
        f"{name} {packages[name]}" for name in ("torch", "transformers", "accelerate", "timm") if name in packages
    )
    ended = "" if result["state"] == FINISHED else f" This stage did not end by itself: {_why(result)}."
    return (
        f"{result['date'][:10]}, commit {_commit(result['git'])}, {machine['device']} with driver {machine['driver']}, "
        f"{machine['cpu']}, {versions}: `{result['command']}`.{ended}"
    )


def _why(result: Result) -> str:
    return "the call was broken off" if result["state"] == RUNNING else _cell(result["reason"] or result["state"])


def _commit(git: str | None) -> str:
    if git is None:
        return "unknown"
    commit, *changed = git.split(" ", 1)
    return " ".join([commit[:12], *changed])
