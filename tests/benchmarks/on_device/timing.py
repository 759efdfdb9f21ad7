"""Rows in turns, A B C C B A, for as long as there is time; a row that does other work has no figure."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path
from statistics import median
from typing import Any

import torch
from step_cost.figures import difference, spread

from on_device import drivers, machine
from on_device.drivers import Driver
from on_device.kept import Kept
from on_device.stopwatch import COMPARED, Stopwatch, Window
from on_device.works import RECIPES, WORKS, Work
from taskkit.batches.loader import HostBatch
from taskkit.contracts.model import Unit
from taskkit.engine.throughput import flops_per_example
from taskkit.plugins.discovery import discover
from taskkit.plugins.registry import Plugins
from taskkit.recipe import load as recipes
from taskkit.recipe.load import Resolved

LIMIT = 2e-2
"""The largest relative difference between the first losses of a row and those of the loop written by hand."""
HELD = 32
"""Batches that lie on the device, in turn."""
RESIDENT, LOADED = "resident", "loaded"
WINDOW = Window(warmup=50, steps=200, seconds=2.0, profiled=5)
TINY_WINDOW = Window(warmup=COMPARED, steps=10, seconds=2.0, profiled=2)


@dataclass(frozen=True)
class Row:
    """A driver, by the name that it has in results."""

    name: str
    says: str
    driver: Driver
    tuned: bool
    workers: int | None = None
    """Processes that read batches, where they are read; None: as taskkit chooses."""


RAW = Row("raw", "a loop written by hand", drivers.by_hand, tuned=False)
RAW_TUNED = Row("raw, tuned", "a loop written by hand, tuned", drivers.by_hand, tuned=True)
FACE = Row(
    "hugging_face",
    "Hugging Face's Trainer, its defaults",
    partial(drivers.hugging_face, tuned=False),
    tuned=False,
    workers=0,
)
FACE_TUNED = Row(
    "hugging_face, tuned", "Hugging Face's Trainer, tuned", partial(drivers.hugging_face, tuned=True), tuned=True
)
OURS = Row("taskkit", "`taskkit run`, its defaults", drivers.ours, tuned=False)
OURS_TUNED = Row("taskkit, tuned", "`taskkit run`, tuned", drivers.ours, tuned=True)

TABLES: Mapping[str, Sequence[Row]] = {
    RESIDENT: (RAW, RAW_TUNED, OURS_TUNED, FACE_TUNED, OURS, FACE),
    LOADED: (RAW_TUNED, OURS_TUNED, FACE_TUNED, FACE),
}
"""In the order in which they are run, since the time of a call may end before the last."""


@dataclass(frozen=True)
class Timing:
    """All that a work's rows are measured with."""

    work: Work
    overrides: Sequence[str]
    window: Window
    plugins: Plugins
    until: float
    """The time at which nothing more is begun."""
    repetitions: int | None
    """How often each row is run at most; None: as often as there is time."""

    def measure(self, kept: Kept, tables: Mapping[str, Sequence[Row]], peak: float | None) -> None:
        """Run rows in turns, and keep the figures of all after each."""
        held, flops, unit = self._prepared()
        visits: list[dict[str, Any]] = []
        kept.put(planned=[{"table": table, "says": row.says} for table, rows in tables.items() for row in rows])
        kept.put(unit=asdict(unit), flops_per_unit=flops, peak_flops=peak, limit=LIMIT, visits=visits)
        longest: dict[str, float] = {}
        for table, row in self._turns(tables):
            began = time.time()
            if began + longest.get(table, 0.0) > self.until:
                break
            visits.append({"table": table, "row": row.name, **self._visit(row, held if table == RESIDENT else ())})
            longest[table] = max(longest.get(table, 0.0), time.time() - began)
            kept.put(rows=list(figures(tables, visits, flops, peak)))

    def _turns(self, tables: Mapping[str, Sequence[Row]]) -> Iterator[tuple[str, Row]]:
        for number in count() if self.repetitions is None else range(self.repetitions):
            for table, rows in tables.items():
                for row in rows[:: -1 if number % 2 else 1]:
                    yield table, row

    def _visit(self, row: Row, held: Sequence[HostBatch]) -> Mapping[str, Any]:
        """What the stopwatch saw, or the error that there was."""
        stopwatch = Stopwatch(self.window, held)
        changes = [*(self.work.tuned if row.tuned else ()), *_workers(row)]
        _forget()
        try:
            with drivers.place(self._resolved(changes), self.plugins, stopwatch) as place:
                row.driver(place)
        except Exception as error:  # Whatever a library raises, the other rows are still to be measured.
            return {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"}
        return stopwatch.report if stopwatch.done and stopwatch.report else {"error": "it ended before the window did"}

    def _resolved(self, changes: Sequence[str]) -> Resolved:
        steps = ["trainer.max_epochs=null", f"trainer.max_steps={self.window.whole}"]
        return recipes.load([RECIPES / f"{self.work.recipe}.yaml"], [*self.overrides, *steps, *changes], self.plugins)

    def _prepared(self) -> tuple[list[HostBatch], float, Unit]:
        """The first batches, on the device, the operations of a step for one unit, of padding too, and that unit."""
        with drivers.place(self._resolved([]), self.plugins, Stopwatch(self.window)) as place:
            p = drivers.parts(place)
            p.loader.plan.set_epoch(0)
            read = list(islice(p.loader, HELD))
            assert len(read) >= COMPARED, "the first losses are of other batches, so that both tables can be compared"
            held = [batch._replace(tensors={k: v.to(p.device) for k, v in batch.tensors.items()}) for batch in read]
            p.loader.release()
            first = held[0]
            with p.autocast():
                flops = flops_per_example(p.task, first.tensors) * first.samples
            processor = p.loader.processor
            return held, flops / processor.padded_size(first.tensors), processor.unit


def of_work(
    kept: Kept, name: str, place: Path, until: float, *, repetitions: int | None, peak: float | None, tiny: bool
) -> None:
    """Measure a work by its name; files are made up in a folder of `place`."""
    work, window = WORKS[name], TINY_WINDOW if tiny else WINDOW
    if tiny:
        # Compiling for a CPU takes minutes, and tells nothing of a CUDA device.
        torch.compiler.set_stance("force_eager")
    kept.put(says=work.says, recipe=work.recipe, protocol=asdict(window))
    overrides = work.overrides(place / "files", tiny=tiny)
    kept.put(overrides=overrides, tuned=work.tuned)
    repetitions = 1 if tiny and repetitions is None else repetitions
    Timing(work, overrides, window, discover(), until, repetitions).measure(kept, TABLES, peak or machine.peak())


def _workers(row: Row) -> list[str]:
    return [] if row.workers is None else [f"loader.workers={row.workers}"]


def _forget() -> None:
    """Begin afresh: torch counts the compilations of one function over all runs, and gives up at the eighth."""
    torch.compiler.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def figures(
    tables: Mapping[str, Sequence[Row]], visits: Sequence[Mapping[str, Any]], flops: float, peak: float | None
) -> Iterator[dict[str, Any]]:
    """The figures of each row that was visited; FAILED and none for one whose losses are not those of the first."""
    expected = next((visit["losses"] for visit in visits if "losses" in visit and visit["row"] == RAW.name), None)
    for table, rows in tables.items():
        for row in rows:
            mine = [visit for visit in visits if (visit["table"], visit["row"]) == (table, row.name)]
            if mine:
                found = {"table": table, "row": row.name, "says": row.says}
                yield {**found, **_figures(mine, expected, flops, peak)}


def _figures(
    visits: Sequence[Mapping[str, Any]], expected: Sequence[float] | None, flops: float, peak: float | None
) -> dict[str, Any]:
    if error := next((visit["error"] for visit in visits if "error" in visit), None):
        return {"failed": error}
    if expected is None:
        return {"failed": "there are no losses of the loop written by hand to compare with"}
    gap = max(difference(visit["losses"], expected, relative=True) for visit in visits)
    if not gap <= LIMIT:
        return {"failed": f"first losses are {gap:.1%} apart from those of the loop written by hand", "apart": gap}
    seconds = [visit["device_seconds"] or visit["seconds"] for visit in visits]
    real = [visit["real"] / spent for visit, spent in zip(visits, seconds, strict=True)]
    return {
        "apart": gap,
        "repetitions": len(visits),
        "warmup": [visit["warmup"] for visit in visits],
        "steps": [visit["steps"] for visit in visits],
        "milliseconds": spread([1000 * s / v["steps"] for v, s in zip(visits, seconds, strict=True)]),
        "milliseconds_by_clock": spread([1000 * visit["seconds"] / visit["steps"] for visit in visits]),
        "examples_per_second": spread([v["examples"] / s for v, s in zip(visits, seconds, strict=True)]),
        "units_per_second": spread(real),
        "padding": 1 - sum(visit["real"] for visit in visits) / sum(visit["padded"] for visit in visits),
        "mfu": None if peak is None else median(real) * flops / peak,
        "waiting": median(visit["waited"] / visit["seconds"] for visit in visits),
        "peak_memory_bytes": max(visit["peak_memory_bytes"] for visit in visits),
        "warmup_seconds": visits[0]["warmup_seconds"],
        "recompilations": max(visit["recompilations"] for visit in visits),
        "launches": visits[-1]["launches"],
        "synchronisations": visits[-1]["synchronisations"],
    }
