"""Telling trackers what a run measures, so that it waits for none of them and none of them can stop it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any

from taskkit.contracts.recipe import Recipe
from taskkit.engine import trackers
from taskkit.engine.trackers import About, Tracker
from taskkit.runs import history
from taskkit.runs.manifest import Status
from taskkit.runs.record import Record

FOLDER = "trackers"
WAIT_SECONDS = 60.0
"""How long the end of a run waits for its trackers."""
HURRY_SECONDS = 5.0
"""The same of a run that failed or was stopped: who stopped it may not wait long."""
LONGEST_REASON = 300
"""Characters of what is told of a tracker that failed."""


@dataclass(frozen=True)
class Line:
    """Metrics of one step, and which line of all these are."""

    number: int
    step: int
    values: Mapping[str, float]
    tested: bool = False


class Feed:
    """A tracker in a thread of its own, which begins with the first line that is new."""

    def __init__(self, name: str, begin: Callable[[], Tracker], before: Iterable[Line]) -> None:
        self.name = name
        self.failure: str | None = None
        """Why it takes nothing any more."""
        self._begin = begin
        self._queue = SimpleQueue[Line | Status]()
        for line in before:
            self._queue.put(line)
        self._thread = Thread(target=self._work, daemon=True, name=f"tracker-{name}")

    def put(self, given: Line | Status) -> None:
        """Hand a line over, or how the run ended; to a run that has none nothing is said of its end."""
        if self._thread.ident is None and isinstance(given, Line):
            self._thread.start()
        self._queue.put(given)

    def wait(self, until: float) -> None:
        """Wait until all is taken, but no longer than until a time of the monotonic clock."""
        if self._thread.ident is not None:
            self._thread.join(max(until - time.monotonic(), 0))
            if self._thread.is_alive():
                self.failure = "it has not taken everything yet, and the run does not wait any longer"

    def _work(self) -> None:
        try:
            tracker = self._begin()
            while isinstance(given := self._queue.get(), Line):
                if given.number > tracker.told:
                    take = tracker.tested if given.tested else tracker.line
                    take(given.number, given.step, given.values)
            tracker.end(given)
        except (Exception, SystemExit) as error:
            said = " ".join(trackers.without_secrets(str(error)).split()) or "no reason was given"
            self.failure = f"{type(error).__name__}: {said}"[:LONGEST_REASON].rstrip(". ")


class Tracking:
    """The trackers of a run; what one of them fails by is told once, and kept in its notes."""

    def __init__(self, feeds: Iterable[Feed], record: Record | None, output: Callable[[str], None]) -> None:
        self._feeds = list(feeds)
        self._record = record
        self._output = output

    def line(self, number: int, line: Mapping[str, Any]) -> None:
        """Tell a line of metrics.jsonl; the first one is number 1."""
        self._put(_line(number, line))

    def tested(self, number: int, step: int, metrics: Mapping[str, float]) -> None:
        """Tell the metrics of the test, as the line after all others."""
        self._put(Line(number, step, metrics, tested=True))

    def end(self, status: Status, wait: float) -> None:
        """Tell how the run ended, and wait so many seconds at most."""
        self._put(status)
        until = time.monotonic() + wait
        for feed in self._feeds:
            feed.wait(until)
        self._look()

    def _put(self, given: Line | Status) -> None:
        for feed in self._feeds:
            feed.put(given)
        self._look()

    def _look(self) -> None:
        """Tell of those that failed since the last look; here, since only one thread may write the record."""
        for feed in [feed for feed in self._feeds if feed.failure is not None]:
            self._feeds.remove(feed)
            note = f"tracker {feed.name}: {feed.failure}. The run goes on without it."
            self._output(note)
            if self._record is not None and note not in self._record.manifest.notes:
                self._record.update(notes=(*self._record.manifest.notes, note))


@contextmanager
def tracking(recipe: Recipe, record: Record | None, headline: str, output: Callable[[str], None]) -> Iterator[Tracking]:
    """Let the trackers of a recipe be told of a run meanwhile; those processes that keep no record tell nothing."""
    feeds = _feeds(recipe, record, headline)
    if feeds and record is not None:
        output(f"tracked by {', '.join(feed.name for feed in feeds)}, below {record.path / FOLDER}")
    track = Tracking(feeds, record, output)
    try:
        yield track
    except Exception:
        track.end("failed", HURRY_SECONDS)
        raise
    except BaseException:
        track.end("preempted", HURRY_SECONDS)
        raise
    track.end("finished", WAIT_SECONDS)


def _feeds(recipe: Recipe, record: Record | None, headline: str) -> list[Feed]:
    section = recipe.trackers
    if record is None or not (section.csv or section.tensorboard or section.mlflow or section.wandb):
        return []
    said = record.manifest
    before = [_line(number, line) for number, line in enumerate(history.read(record.path), 1)]
    values = {name: value for change in said.changes for name, value in change.values.items()}
    tags = {"title": recipe.title, "seed": str(recipe.seed), "run": said.id, "headline": f"test/{headline}"}
    if values:
        tags["changes"] = " ".join(f"{name}={value}" for name, value in values.items())
    # A process of a tracker's may have begun in another working directory.
    folder = record.path.resolve() / FOLDER
    folder.mkdir(exist_ok=True)
    about = About(folder, tags, recipe.plain(), len(said.changes), len(before))
    return [Feed(name, begin, before) for name, begin in trackers.beginnings(section, about).items()]


def _line(number: int, line: Mapping[str, Any]) -> Line:
    return Line(number, line["step"], {name: value for name, value in line.items() if name != "step"})
