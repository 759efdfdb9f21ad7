"""What benchmarks share: their command line, what a process costs, and the JSON file of a result."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
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
        begun, load = {"date": now(), "git": git_state()}, os.getloadavg()
        found = self.measure(a)
        result = {
            "benchmark": self.name,
            **begun,
            "command": f"python {shlex.join(sys.argv)}",
            "machine": {"device": cpu(), "load": [load, os.getloadavg()]},
            "python": platform.python_version(),
            "packages": {name: version(name) for name in self.packages},
            **found,
        }
        a.out.write_text(json.dumps(result, indent=2) + "\n")

    def _render(self, a: argparse.Namespace) -> None:
        (a.result.parent / f"{self.name}.md").write_text(self.page(json.loads(a.result.read_text())))


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


def spent(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> dict[str, float]:
    """Seconds of the clock and the CPU, and the largest memory in bytes, of a process of Python and those it started.

    It is called in `folder`, where `log` keeps what it prints; raises SystemExit with that where it fails.
    """
    began, ended, peak = time.monotonic(), threading.Event(), [0]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *words], cwd=folder, env={**os.environ, **environment}, stdout=log, stderr=log
        )
        watching = threading.Thread(target=_watch, args=(process.pid, ended, peak))
        watching.start()
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        ended.set()
        watching.join()
    if status:
        code = os.waitstatus_to_exitcode(status)
        raise SystemExit(f"{shlex.join(words)} ended with {code}.\n{(folder / 'log').read_text()}")
    return {"cpu_seconds": used.ru_utime + used.ru_stime, "seconds": seconds, "memory": peak[0]}


def _watch(pid: int, ended: threading.Event, peak: list[int]) -> None:
    """Look at the proportional memory of a process and its children, ten times a second."""
    while not ended.wait(0.1):
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
