"""What benchmarks share: their command line, rows in turns, what a process costs, and the JSON file of a result."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from taskkit.runs.record import cpu, git_state, now

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
PRINTED = "printed.txt"
"""What a process said."""

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Benchmark:
    """One that measures into NAME-cpu.json and renders NAME.md from it."""

    name: str
    about: str
    packages: Sequence[str]
    """Distributions whose versions are kept."""
    measure: Callable[[argparse.Namespace], Result]
    page: Callable[[Result], str]

    def main(self, **options: Mapping[str, Any]) -> None:
        """Do what the command line says; `options` are those of measuring, as argparse takes them."""
        top = argparse.ArgumentParser(description=self.about, formatter_class=argparse.RawDescriptionHelpFormatter)
        modes = top.add_subparsers(required=True, metavar="run|page")
        run = modes.add_parser("run", help="measure")
        run.add_argument("--out", type=Path, required=True, help="the JSON file of the results")
        for option, settings in options.items():
            run.add_argument(f"--{option}", **settings)
        run.set_defaults(do=self._run)
        page = modes.add_parser("page", help=f"render the results into {self.name}.md")
        page.add_argument("result", type=Path, nargs="?", default=RESULTS / f"{self.name}-cpu.json")
        page.set_defaults(do=self._render)
        arguments = top.parse_args()
        arguments.do(arguments)

    def _run(self, a: argparse.Namespace) -> None:
        write(a.out, self.name, self.packages, lambda: self.measure(a))

    def _render(self, a: argparse.Namespace) -> None:
        (a.result.parent / f"{self.name}.md").write_text(self.page(json.loads(a.result.read_text())))


def write(path: Path, benchmark: str, packages: Sequence[str], measure: Callable[[], Result]) -> None:
    """Measure, and write what was found with when, where, by which command and with which distributions it was."""
    begun, load = {"date": now(), "git": git_state()}, os.getloadavg()
    found = measure()
    result = {
        "benchmark": benchmark,
        **begun,
        "command": f"python {shlex.join(_without_places(sys.argv))}",
        "machine": {"device": cpu(), "load": [load, os.getloadavg()]},
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        **found,
    }
    path.write_text(json.dumps(result, indent=2) + "\n")


def _without_places(words: Sequence[str]) -> Iterator[str]:
    """Words of a command; where a file lies on this machine is nobody's business."""
    for word in words:
        yield Path(word).name if Path(word).is_absolute() else word


def in_turns(rows: Sequence[str], rounds: int, run: Callable[[str, int], Result]) -> dict[str, list[Result]]:
    """What `run` finds of each row in each round; every second round is backwards."""
    found: dict[str, list[Result]] = {row: [] for row in rows}
    for turn in range(rounds):
        for row in rows[:: -1 if turn % 2 else 1]:
            found[row].append(run(row, turn))
            print(row, found[row][-1], file=sys.stderr)
    return found


def ranged(values: Sequence[float], form: str) -> str:
    """The median, and the lowest and highest where they differ."""
    low, middle, high = (form.format(value) for value in (min(values), statistics.median(values), max(values)))
    return middle if low == high else f"{middle} ({low}–{high})"


def rounds_said(rounds: int) -> str:
    """What a figure is of so many rounds, in a sentence."""
    return "Each row ran once." if rounds == 1 else f"Median of {rounds} runs, with the range."


def setting(result: Result, threads: int) -> str:
    """When, on what and by which command a result was measured, in a sentence."""
    git = result["git"] or {"commit": "no commit", "dirty": False}
    packages = ", ".join(f"{name} {number}" for name, number in result["packages"].items() if name != "taskkit-ml")
    load = " and ".join(f"{each[0]:.1f}" for each in result["machine"]["load"])
    return (
        f"{result['date'][:10]}, commit {git['commit'][:12]}{' with changes' if git['dirty'] else ''}, "
        f"{result['machine']['device']}, torch with {threads} thread{'' if threads == 1 else 's'}, {packages}: "
        f"`{result['command']}`. Load average before and after: {load}."
    )


def spent(
    words: Sequence[str], folder: Path, environment: Mapping[str, str], python: str = sys.executable
) -> dict[str, float]:
    """Seconds of the clock and the CPU, and the largest memory in bytes, of a process of Python and those it started.

    It is called in `folder`, where `printed.txt` keeps what it prints; raises SystemExit with that where it fails.
    """
    began, ended, peak = time.monotonic(), threading.Event(), [0]
    with (folder / PRINTED).open("w") as log:
        process = subprocess.Popen(
            [python, *words], cwd=folder, env={**os.environ, **environment}, stdout=log, stderr=log
        )
        watching = threading.Thread(target=_watch, args=(process.pid, ended, peak))
        watching.start()
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        ended.set()
        watching.join()
    if status:
        code = os.waitstatus_to_exitcode(status)
        raise SystemExit(f"{shlex.join(words)} ended with {code}.\n{(folder / PRINTED).read_text()}")
    return {"cpu_seconds": used.ru_utime + used.ru_stime, "seconds": seconds, "memory": peak[0]}


def _watch(pid: int, ended: threading.Event, peak: list[int]) -> None:
    """Look at the proportional memory of a process and its children, twice a second: each look costs the CPU much."""
    while not ended.wait(0.5):
        peak[0] = max(peak[0], sum(_memory(each) for each in (pid, *_children(pid))))


def _children(pid: int) -> Iterator[int]:
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from _children(int(child))
    except OSError:  # It ended.
        return


def _memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
