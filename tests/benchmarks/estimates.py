"""What a look ahead estimates beside what a run takes: `python tests/benchmarks/estimates.py [--clock] NAME=EPOCHS …`.

Seconds are those of the CPU on one thread, so that a machine that others use too tells about the same; with --clock
they are those of the clock.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).parents[2]


def trial(recipe: Path, folder: Path) -> None:
    """The short run of a look ahead, by the clock of this process."""
    time.perf_counter = time.process_time
    from taskkit.plugins.discovery import from_environment
    from taskkit.preflight import trial
    from taskkit.recipe.load import load

    plugins = from_environment()
    resolved = load([recipe], [], plugins)
    starting = time.process_time()
    timed = trial.trial(resolved, plugins, folder)
    timed.starting = starting
    (folder / trial.FILE).write_text(json.dumps(asdict(timed)))


def spent(*command: str, clock: bool) -> tuple[float, int]:
    """Seconds, of the CPU or the clock, and the largest memory, in bytes, of a process of Python."""
    words, began = [sys.executable, *command], time.monotonic()
    process = os.posix_spawn(
        sys.executable,
        words,
        {**os.environ, "OMP_NUM_THREADS": "1"},
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, used = os.wait4(process, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}.")
    seconds = time.monotonic() - began if clock else used.ru_utime + used.ru_stime
    return seconds, used.ru_maxrss * 1024


def compare(name: str, epochs: int, *, clock: bool) -> str:
    """A row of the table: estimated and real seconds and memory."""
    from taskkit.plugins.discovery import from_environment
    from taskkit.preflight import trial
    from taskkit.preflight.estimate import estimate
    from taskkit.recipe.load import load

    with tempfile.TemporaryDirectory() as directory:
        folder, path = Path(directory), Path(directory, "recipe.yaml")
        changes = [f"trainer.max_epochs={epochs}", "trainer.accelerator=cpu"]
        resolved = load([ROOT / "recipes" / f"{name}.yaml"], changes, from_environment())
        path.write_text(resolved.to_yaml())
        if clock:
            spent("-m", "taskkit.preflight.trial", str(path), directory, str(trial.SECONDS), clock=clock)
        else:
            spent(__file__, "--trial", str(path), directory, clock=clock)
        timed = trial.read(folder / trial.FILE)
        said = estimate(timed, resolved.recipe).total
        seconds, memory = spent("-m", "taskkit", "run", str(path), "--out", str(folder / "out"), clock=clock)
    return (
        f"| {name} | {epochs} | {said:.1f} s | {seconds:.1f} s | {said / seconds - 1:+.0%} "
        f"| {timed.memory / 1e6:,.0f} MB | {memory / 1e6:,.0f} MB | {timed.memory / memory - 1:+.0%} |"
    )


if __name__ == "__main__":
    if sys.argv[1] == "--trial":
        trial(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        clock = sys.argv[1] == "--clock"
        for word in sys.argv[1 + clock :]:
            print(compare(word.partition("=")[0], int(word.partition("=")[2]), clock=clock), flush=True)
