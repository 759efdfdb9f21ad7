"""From a short run that was timed to the whole of it: seconds, memory and disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from taskkit import cachedir
from taskkit.batches.entries import size_text
from taskkit.contracts.recipe import Recipe, TrainerSection
from taskkit.engine.space import PLAIN, VALIDATED
from taskkit.preflight.finding import Finding
from taskkit.preflight.trial import WARM, Stretch, Timed
from taskkit.wording import duration

FULL = 0.9
"""Of a memory or a disk: who takes more than this share may not get it."""


@dataclass(frozen=True)
class Estimate:
    """Seconds of a whole run, by its parts."""

    starting: float
    preparing: float
    training: float
    validating: float
    testing: float
    steps: int
    """Batches that are trained on."""
    validations: int
    epoch: float | None
    """Seconds of an epoch's training; None: epochs are not counted."""

    @property
    def total(self) -> float:
        """All of it."""
        return self.starting + self.preparing + self.training + self.validating + self.testing


def estimate(timed: Timed, recipe: Recipe, processes: int = 1) -> Estimate:
    """What a whole run takes, if it goes on as it began and is not stopped early.

    Of several `processes`, which share the batches out, what they say to each other is not counted.
    """
    train, per_epoch = timed.train, timed.batches_per_epoch
    batches = -(-train.planned // processes)
    validations = planned_validations(recipe.trainer, per_epoch, train.planned) if timed.validated else 0
    test = _whole(timed.test)
    # Rows, intervals and tables are made of all examples, of which some were judged.
    judged = timed.test.count + 1
    more = max(1.0, timed.test.planned / judged) if timed.test.planned else 1.0
    training, validating = train.apart + max(0, batches - WARM) * train.each, validations * _whole(timed.validation)
    if recipe.trainer.max_time is not None and training + validating > recipe.trainer.max_time:
        share = recipe.trainer.max_time / (training + validating)
        training, validating = share * training, share * validating
        batches, validations = int(share * batches), int(share * validations)
    return Estimate(
        starting=timed.starting,
        preparing=timed.preparing,
        training=training,
        validating=validating,
        testing=timed.between + test + timed.judging * more,
        steps=batches,
        validations=validations,
        epoch=None if per_epoch is None else per_epoch / processes * train.each,
    )


def planned_validations(section: TrainerSection, per_epoch: int | None, batches: int) -> int:
    """How many validations a training on so many batches has."""
    interval = section.val_check_interval
    if interval > 1:
        return batches // int(interval)
    if per_epoch is None or not batches:
        return 0
    inside = per_epoch // max(1, int(per_epoch * interval))
    return -(-batches // per_epoch) // section.check_val_every_n_epoch * inside


def findings(timed: Timed, recipe: Recipe, directory: Path, processes: int = 1) -> Iterator[Finding]:
    """What a person should know of a run's time, memory and disk; `directory` is where it would be."""
    yield _time(timed, estimate(timed, recipe, processes), processes)
    yield from memory(timed)
    yield from _disk(timed, recipe, directory)


def _time(timed: Timed, found: Estimate, processes: int) -> Finding:
    trained = f"{duration(found.training)} for {found.steps:,} batches ({timed.train.each * 1000:,.1f} ms each)"
    parts = [
        f"{duration(found.starting)} to start and {duration(found.preparing)} to prepare",
        *([trained] if found.steps else []),
        *([f"{duration(found.validating)} for {found.validations:,} validations"] if found.validations else []),
        f"{duration(found.testing)} for {'the test and ' if timed.test.planned else ''}what follows",
    ]
    epoch = "" if found.epoch is None else f" An epoch trains for {duration(found.epoch)}."
    several = f" {processes} processes share the batches; that they wait for each other is not counted." * (
        processes > 1
    )
    return Finding(
        "info",
        "time",
        f"about {duration(found.total)} on {timed.device}: {', '.join(parts)}.{epoch}{several}",
        {
            "total": found.total,
            "starting": found.starting,
            "preparing": found.preparing,
            "training": found.training,
            "validating": found.validating,
            "testing": found.testing,
            "epoch": found.epoch,
        },
    )


def memory(timed: Timed) -> list[Finding]:
    """How much of each memory a run takes, and of how much; a warning where it may not get it."""
    machine = psutil.virtual_memory()
    found = [_share("of the machine", timed.memory, timed.memory + machine.available, {"peak": timed.memory})]
    if timed.device_memory is not None and timed.device_memory_total is not None:
        peak = {"device_peak": timed.device_memory}
        found.append(_share(f"of {timed.device}", timed.device_memory, timed.device_memory_total, peak))
    return found


def _share(of: str, needed: int, there: int, numbers: Mapping[str, float | None]) -> Finding:
    said = f"about {size_text(needed)} {of}, of {size_text(there)} that a run can have."
    return Finding("info" if needed <= FULL * there else "warning", "memory", said, numbers)


def _disk(timed: Timed, recipe: Recipe, directory: Path) -> Iterator[Finding]:
    free, copies = _free(directory), VALIDATED if timed.validated else PLAIN
    needed = copies * timed.checkpoint
    said = (
        f"checkpoints of {size_text(timed.checkpoint)}, {copies} at most while they are replaced; "
        f"{size_text(free)} are free at {directory}."
    )
    numbers: dict[str, float | None] = {"checkpoint": timed.checkpoint, "checkpoints": needed, "free": free}
    if needed > free:
        yield Finding("error", "disk", f"{said} Make room, or name another place with --out.", numbers)
    elif needed > FULL * free:
        yield Finding("warning", "disk", f"{said} Little is left beside them.", numbers)
    else:
        yield Finding("info", "disk", said, numbers)
    if recipe.loader.cache and timed.samples:
        # They are there already: what is kept from now on is what the trial encoded.
        place = cachedir.cache_directory()
        kept = f"encoded samples of {size_text(timed.samples)} are kept in {place}, {size_text(_free(place))} are free."
        yield Finding("info", "disk", kept, {"samples": timed.samples})


def _free(place: Path) -> int:
    return shutil.disk_usage(next(folder for folder in (place, *place.parents) if folder.exists())).free


def _whole(stretch: Stretch) -> float:
    """Seconds of all planned batches, the first of which was timed with what comes before and after."""
    return stretch.apart + max(0, stretch.planned - 1) * stretch.each
