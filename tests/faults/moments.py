"""Signals at random moments of whole runs: whatever comes when, a run goes on and ends as one that nobody disturbed."""

from __future__ import annotations

import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.faults.children import HUNG, Child, Ended, taskkit
from tests.faults.report import Line
from tests.faults.runs import RECIPE, STAGES, broken, differences, outcome, polled, stage

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGSTOP)
STOPPED_FOR = 0.3
"""Seconds between SIGSTOP and SIGCONT."""
POLL_EVERY = 0.01
AFRESH_EVERY = 10
"""Of so many runs one begins with its imports; the others are forked after these."""
TWICE_EVERY = 3
"""Of so many killed runs one is killed again while it goes on."""
GOES_ON_WITHIN = 4
"""How often a run may have to be called until it is finished."""


@dataclass(frozen=True)
class Way:
    """How a run is called."""

    workers: int
    fresh: bool
    auto: bool
    """By `--resume auto`, as a script that is started again and again; else by `--out` and `--resume RUN`."""

    def words(self, folder: Path) -> list[str]:
        """The words that begin the run, or go on with it."""
        recipe = ["run", "r.yaml", f"loader.workers={self.workers}"]
        if self.auto:
            return [*recipe, "--resume", "auto"]
        return ["run", "--resume", "run"] if (folder / "run" / "run.json").exists() else [*recipe, "--out", "run"]

    def run(self, folder: Path) -> Path:
        """Where the run is, or would be."""
        found = sorted((folder / "runs" / "r").glob("*")) if self.auto else []
        return found[-1] if found else folder / "run"


@dataclass
class Striking:
    """What is sent when, and what came of it."""

    place: Path
    random: random.Random
    straight: dict[Way, tuple[float, dict[str, Any]]] = field(default_factory=dict)
    """For each way how long a run takes that nobody disturbs, and what it ends with."""
    begun: list[Child] = field(default_factory=list)

    def undisturbed(self, way: Way) -> tuple[float, dict[str, Any]]:
        """How long a run takes and what it ends with, measured when it is first asked for."""
        way = replace(way, auto=False)
        if way not in self.straight:
            seconds = []
            for _ in range(2):
                folder = self.folder()
                ended = taskkit(way.words(folder), folder, _cache(folder), fresh=way.fresh)
                if ended.code:
                    raise RuntimeError(f"a run that nobody disturbed ended with {ended.code}: {ended.errors}")
                seconds.append(ended.seconds)
            self.straight[way] = min(seconds), outcome(way.run(folder))
        return self.straight[way]

    def folder(self) -> Path:
        """A new one, with the recipe in it."""
        folder = Path(tempfile.mkdtemp(dir=self.place))
        (folder / "r.yaml").write_text(RECIPE)
        return folder

    def strike(self, number: signal.Signals, way: Way, share: float, *, twice: bool = False) -> tuple[str, list[str]]:
        """Send a signal after a share of a run, go on with it to its end; return in which stage, and what was wrong."""
        seconds, expected = self.undisturbed(way)
        folder = self.folder()
        child = Child(way.words(folder), folder, _cache(folder), fresh=way.fresh)
        wrong = _watch(child, way, folder, share * seconds)
        where = STAGES[-1]
        if child.freeze():
            where = stage(way.run(folder), folder / "cache")
            wrong += broken(way.run(folder), folder / "cache")
            if number == signal.SIGSTOP:
                time.sleep(STOPPED_FOR)
            else:
                # As a terminal does, and schedulers: to all processes of a job.
                child.send(number, to_all=number in (signal.SIGINT, signal.SIGHUP) and way.auto)
            child.send(signal.SIGCONT)
        ended = child.end()
        wrong += _badly_ended(ended, number, where)
        children = [child]
        if number != signal.SIGSTOP:
            wrong += broken(way.run(folder), folder / "cache")
            children += self._go_on(way, folder, wrong, self.random.random() * seconds if twice else None)
        try:
            wrong += [f"another {what}" for what in differences(expected, outcome(way.run(folder)))]
        except (OSError, KeyError, ValueError) as error:
            wrong.append(f"no result: {type(error).__name__}: {error}")
        self.begun += children
        return where, wrong

    def left(self) -> list[str]:
        """What processes left behind that were begun since this was last asked."""
        found = [f"a process was left: {command}" for child in self.begun for command in child.left()]
        self.begun.clear()
        return found

    def _go_on(self, way: Way, folder: Path, wrong: list[str], kill_after: float | None) -> list[Child]:
        """Call the run until it is finished; it may be killed once more."""
        children: list[Child] = []
        for _ in range(GOES_ON_WITHIN):
            if '"status": "finished"' in _text(way.run(folder) / "run.json"):
                return children
            child = Child(way.words(folder), folder, _cache(folder))
            children.append(child)
            if kill_after is not None:
                wrong += _watch(child, way, folder, kill_after)
                child.send(signal.SIGKILL)
            ended = child.end()
            wrong += broken(way.run(folder), folder / "cache")
            if ended.code not in {0, 0 if kill_after is None else -signal.SIGKILL}:
                wrong.append(f"going on ended with {ended.code}: {ended.errors.strip()[-400:]}")
            kill_after = None
        wrong.append(f"it did not end in {GOES_ON_WITHIN} calls")
        return children


def moments(times: int, seed: int, place: Path, signals: Sequence[signal.Signals] = SIGNALS) -> Iterator[Line]:
    """Send each signal at so many moments, spread over the whole of a run, to runs called in every way."""
    striking = Striking(place, random.Random(seed))
    for number in signals:
        stages, wrong = Counter[str](), list[str]()
        ways = [_way(index) for index in range(times)]
        striking.random.shuffle(ways)
        for index, way in enumerate(ways):
            share = (index + striking.random.random()) / times
            twice = number == signal.SIGKILL and index % TWICE_EVERY == 0
            where, found = striking.strike(number, way, share, twice=twice)
            stages[where] += 1
            wrong += [f"{number.name} after {share:.0%} ({where}; {way}): {each}" for each in found]
        wrong += [f"{number.name}: {each}" for each in striking.left()]
        came = ", ".join(f"{stages[name]} in {name}" for name in STAGES if stages[name])
        yield Line(number.name, times, came, wrong)


def _way(index: int) -> Way:
    return Way(workers=2 * (index % 2), fresh=index % AFRESH_EVERY == 0, auto=index // 2 % 2 == 1)


def _cache(folder: Path) -> dict[str, str]:
    return {"TASKKIT_CACHE": str(folder / "cache")}


def _watch(child: Child, way: Way, folder: Path, seconds: float) -> list[str]:
    """Read run.json again and again until a moment comes; return what was wrong with it."""
    wrong = list[str]()
    until = child.began + seconds
    while time.monotonic() < until and child.goes_on:
        wrong += polled(way.run(folder))
        time.sleep(POLL_EVERY)
    return wrong


def _badly_ended(ended: Ended, number: signal.Signals, where: str) -> Iterator[str]:
    """What was wrong with how a process ended that got a signal in a stage."""
    # Before taskkit listens, and after it has ended, a signal does what it does to any process.
    codes = {0, -number, 128 + number} if number not in (signal.SIGKILL, signal.SIGSTOP) else {0, -number}
    if number == signal.SIGSTOP:
        codes = {0}
    if ended.code == HUNG:
        yield "it hung"
    elif ended.code not in codes:
        yield f"it ended with {ended.code}: {ended.errors.strip()[-400:]}"
    # Python says so of a signal that comes before it runs any of our code.
    if "Traceback" in ended.errors and where != STAGES[0]:
        yield f"a traceback: {ended.errors.strip()[-400:]}"


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
