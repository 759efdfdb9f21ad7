"""Other processes and other clocks: a store that several fill, readers and ranks that are killed, a clock set back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from tests.faults.children import Child, taskkit
from tests.faults.places import begun, ends
from tests.faults.report import Line
from tests.faults.runs import broken, differences, outcome

FILLERS = 3
LIBRARIES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1")
"""Where Debian's package `libfaketime` lies; TASKKIT_FAKETIME names another place."""
RANKS = ("trainer.devices=2", "trainer.strategy=ddp", "loader.drop_last=true")
BACK = "-2d"


def others(place: Path, expected: Mapping[str, Any]) -> Iterator[Line]:
    """Every fault of others."""
    yield Line(f"a cache that {FILLERS} runs fill at once", FILLERS, "each ended alike", [*one_store(place, expected)])
    yield Line("a reader killed", 2, "one error in words; gone on with", [*killed_reader(place, expected)])
    yield Line("one of two ranks killed", 1, "ended in time; gone on with", [*killed_rank(place)])
    if (library := faketime()) is None:
        yield Line("a clock set back", 0, "skipped: needs libfaketime")
    else:
        yield Line(
            "a clock set back",
            2,
            "while a run goes on, and before it is gone on with",
            [*clock(place, expected, library)],
        )


def one_store(place: Path, expected: Mapping[str, Any]) -> Iterator[str]:
    """Runs that fetch and encode the same at the same time."""
    folders = [begun(place) for _ in range(FILLERS)]
    cache = folders[0] / "cache"
    children = [Child(["run", "r.yaml", "--out", "run"], folder, {"TASKKIT_CACHE": str(cache)}) for folder in folders]
    for folder, child in zip(folders, children, strict=True):
        ended = child.end()
        if ended.code:
            yield f"one of those that filled a store ended with {ended.code}: {ended.errors.strip()[-400:]}"
            continue
        yield from (f"a shared store: another {what}" for what in differences(expected, outcome(folder / "run")))
        yield from broken(folder / "run", cache)
    if left := [*cache.rglob("*.partial-*")]:
        yield f"half-made entries are left: {left}"


def killed_reader(place: Path, expected: Mapping[str, Any]) -> Iterator[str]:
    """A process that reads samples is killed, as where memory is full."""
    for number in (signal.SIGKILL, signal.SIGSEGV):
        folder = begun(place)
        cache = {"TASKKIT_CACHE": str(folder / "cache")}
        child = Child(["run", "r.yaml", "--out", "run", "loader.workers=2"], folder, cache)
        _kill_one(child, folder / "run" / "metrics.jsonl", number)
        ended = child.end()
        if ended.code != 0 and (ended.code != 1 or "A process that reads samples ended" not in ended.errors):
            yield f"a reader killed by {number.name}: {ended.code}: {ended.errors.strip()[-400:]}"
        yield from (f"a process was left: {left}" for left in child.left())
        yield from ends(folder, folder / "run", cache, expected)


def killed_rank(place: Path) -> Iterator[str]:
    """One of two processes that train together is killed: the other ends, and the run is gone on with."""
    straight, folder = begun(place), begun(place)
    cache = {"TASKKIT_CACHE": str(straight / "cache")}
    words = ["run", "r.yaml", "--out", "run", *RANKS]
    ended = taskkit(words, straight, cache, fresh=True)
    if ended.code:
        yield f"a run of two ranks ended with {ended.code}: {ended.errors.strip()[-400:]}"
        return
    child = Child([*words], folder, cache, fresh=True)
    _kill_one(child, folder / "run" / "checkpoints" / "last.ckpt", signal.SIGKILL)
    ended = child.end()
    if ended.code == 0:
        yield "a run ended well whose rank was killed"
    yield from broken(folder / "run", straight / "cache")
    yield from (f"a process was left: {left}" for left in child.left())
    yield from ends(folder, folder / "run", cache, outcome(straight / "run"), fresh=True)


def clock(place: Path, expected: Mapping[str, Any], library: Path) -> Iterator[str]:
    """The clock is set two days back while a run goes on; and one that was killed is gone on with two days before."""
    for kill in (False, True):
        folder = begun(place)
        told = folder / "clock"
        told.write_text("+0")
        variables = {
            "TASKKIT_CACHE": str(folder / "cache"),
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(told),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        child = Child(["run", "r.yaml", "--out", "run"], folder, variables, fresh=True)
        _await(child, folder / "run" / "checkpoints" / "last.ckpt")
        told.write_text(BACK)
        if kill:
            child.send(signal.SIGKILL)
        ended = child.end()
        if ended.code != (-signal.SIGKILL if kill else 0):
            yield f"a clock set back: {ended.code}: {ended.errors.strip()[-400:]}"
        for words in (["run", "--resume", "run"], ["runs", "--root", "."], ["eval", "run"]):
            again = taskkit(words, folder, variables, fresh=True)
            if again.code or "Traceback" in again.errors:
                yield f"{words[0]} with a clock set back: {again.code}: {again.errors.strip()[-400:]}"
        yield from (f"a clock set back: another {what}" for what in differences(expected, outcome(folder / "run")))


def faketime() -> Path | None:
    """The library that gives a process another clock, if it is there."""
    named = os.environ.get("TASKKIT_FAKETIME")
    found = [Path(named)] if named else [path for pattern in LIBRARIES for path in Path("/").glob(pattern[1:])]
    return next((path for path in found if path.is_file()), None)


def _kill_one(child: Child, when: Path, number: signal.Signals) -> None:
    """Kill a process that a child has started, once a file is there."""
    _await(child, when)
    started: list[psutil.Process] = []
    while child.goes_on and not started:
        started = [each for each in child.started() if each.ppid() == child.pid]
    if started:
        started[-1].send_signal(number)


def _await(child: Child, when: Path) -> None:
    while child.goes_on and not when.exists():
        time.sleep(0.002)
