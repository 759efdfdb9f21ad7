"""A teacher is opened, found to fit its student, and asked once about each training sample."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor

from taskkit.batches import store
from taskkit.batches.loader import Loader, StreamLoader, fits
from taskkit.compare.protocol import between
from taskkit.contracts.data import Prepared, Stream
from taskkit.contracts.recipe import DistilSection
from taskkit.engine.build import Built
from taskkit.engine.distil import Lesson
from taskkit.engine.guard import calling
from taskkit.engine.loaders import encoded_split, for_judging
from taskkit.engine.opening import opened
from taskkit.engine.placement import place
from taskkit.errors import CheckpointError, DataError, TaskkitError
from taskkit.plugins.registry import Plugins
from taskkit.runs import manifest
from taskkit.runs.manifest import Protocol, Teacher
from taskkit.wording import quoted


@dataclass(frozen=True)
class Taught:
    """What a student learns from, and what run.json says of that."""

    lesson: Lesson
    teacher: Teacher


def taught(
    section: DistilSection,
    student: Built,
    own: Protocol,
    prepared: Prepared,
    loader: Loader | StreamLoader,
    plugins: Plugins,
    run: Path,
) -> Taught:
    """Ask the teacher that a recipe names about the student's training examples, as it would answer anybody.

    `own` is the student's protocol, `loader` has its training samples, and `run` is its directory. No random number of
    the student's is drawn. Raises TaskkitError where one cannot learn from the other, and CheckpointError where there
    is no such run, or one that is gone on with would learn from another than it began with.
    """
    before = manifest.read(run).teacher
    path = _place(section, before, run)
    said = manifest.read(path)
    check_student(student)
    if isinstance(loader, StreamLoader):
        raise TaskkitError(
            f"distil: the training split of {student.recipe.data.name} is a stream, whose examples have no numbers to "
            "keep answers by. Set distil=null."
        )
    with isolate_rng():
        teacher = opened(path, said, plugins)
        _check_teacher(path, said.protocol, teacher, student, own)
        place = os.path.relpath(path.resolve(), run.resolve())
        record = Teacher(said.id, weights_sha256(teacher.task.state_dict()), place)
        _check_same(before, record, run)
        return Taught(Lesson(_answers(path, teacher, student, prepared, loader), section), record)


def _place(section: DistilSection, before: Teacher | None, run: Path) -> Path:
    """Where the teacher is now: where it lay, as seen from the run, or where the recipe says, as seen from here.

    The recipe's path is relative to where the run was begun, and whoever goes on with it may be elsewhere.
    """
    named = Path(section.teacher)
    lay = None if before is None else before.where(run)
    places = [named] if lay is None else [Path(lay), named]
    there = [place for place in places if (place / manifest.FILE).exists()]
    if not there and before is not None:
        raise CheckpointError(
            f"distil.teacher: {run} learns from the run {before.run}, and there is none in "
            f"{' or '.join(str(place) for place in dict.fromkeys(places))}. Put it back, or begin another run: taskkit "
            f"run {quoted(run)}/recipe.yaml distil.teacher=RUN"
        )
    return there[0] if there else named


def _check_same(before: Teacher | None, now: Teacher, run: Path) -> None:
    if before is not None and (before.run, before.sha256) != (now.run, now.sha256):
        raise CheckpointError(
            f"distil.teacher: {run} learnt from {before.run}, whose weights had the SHA-256 {before.sha256[:12]}…; "
            f"there now is {now.run} with {now.sha256[:12]}…. Put that teacher back, or begin another run: "
            f"taskkit run {quoted(run)}/recipe.yaml"
        )


def weights_sha256(state: Mapping[str, object]) -> str:
    """A hash of weights, by name: their dtypes, shapes and bytes."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        if isinstance(value, Tensor):
            digest.update(f"{name}:{value.dtype}:{tuple(value.shape)}:".encode())
            digest.update(store.tensor_bytes(value))
    return digest.hexdigest()


def check_student(student: Built) -> None:
    """Raise TaskkitError where no answers to single training examples could be learnt from."""
    recipe, task = student.recipe, student.task
    if not task.has_logits:
        raise TaskkitError(
            f"distil: {recipe.task.name} ({recipe.task.plugin}) does not choose by one softmax for each example, so "
            "that there are no logits of a teacher to learn from. A classifier or a ranker was expected. Set "
            "distil=null."
        )
    if task.mixes:
        raise TaskkitError(
            f"distil: {recipe.task.name} mixes training examples, and the teacher answers to each by itself, so that "
            "its answers would be to others. Turn that off in the task section, or set distil=null."
        )
    if task.phases:
        raise TaskkitError(f"distil: {recipe.task.name} trains in phases, of which none is a student. Set distil=null.")


def _check_teacher(path: Path, protocol: Protocol | None, teacher: Built, student: Built, own: Protocol) -> None:
    if protocol is None:
        raise TaskkitError(f"distil.teacher: {path} does not say what it was trained on. Name a run that ended.")
    if not teacher.task.has_logits:
        raise TaskkitError(
            f"distil.teacher: {path} is a run of {teacher.recipe.task.name}, which has no logits to learn from. Name a "
            "run of a classifier or a ranker."
        )
    differing = between(protocol, _as_recorded(own), own.headline[0], own.headline[0])
    if differing:
        raise TaskkitError(
            f"distil.teacher: {path} was trained and tested otherwise than this run ({'; '.join(differing)}), so that "
            "it may have seen what its student is tested on. Name a teacher of the same task, data and splits."
        )
    if not teacher.spec.target.agrees(student.spec.target):
        raise TaskkitError(
            f"distil.teacher: {path} chooses among {teacher.spec.target}, this run among {student.spec.target}. The "
            "same choices in the same order were expected. Name another teacher."
        )


def _as_recorded(own: Protocol) -> Protocol:
    """A protocol as run.json gives it back, in which a tuple is a list."""
    plain = json.loads(json.dumps(asdict(own), default=str))
    parts = {name: plain[name] for name in ("metrics", "task_protocol", "data_protocol", "statistics")}
    return replace(own, **parts)


def _answers(path: Path, teacher: Built, student: Built, prepared: Prepared, learnt: Loader) -> Tensor:
    """The teacher's logits, float32 (training samples, choices), on the CPU."""
    examples = prepared.examples("train")
    assert not isinstance(examples, Stream)
    shared = student.recipe.loader
    section = replace(teacher.recipe.loader, fraction=shared.fraction, cache=shared.cache)
    built = replace(teacher, recipe=replace(teacher.recipe, loader=section), spec=prepared.spec)
    encoded = encoded_split(examples, built, "train")
    _check_samples(path, built, encoded.example_of, student, learnt.encoded.example_of)
    loader = for_judging(built, encoded, resident="no", workers=0)
    device, autocast = place(
        replace(teacher.recipe.trainer, accelerator=student.recipe.trainer.accelerator), built.task
    )
    loader.place(device, rank=0, world=1)
    task = built.task.eval().to(device)
    table: Tensor | None = None
    with torch.inference_mode(), autocast():
        for host in loader:
            batch = {name: tensor.to(device) for name, tensor in host.tensors.items()}
            with calling(built.recipe.task, "logits"):
                logits = task.logits(task(batch)).float().cpu()
            if table is None:
                table = _room(len(encoded), logits.shape[1], device)
            table[torch.as_tensor(host.indices)] = logits
    return torch.zeros(0, 0) if table is None else table


def _check_samples(
    path: Path, teacher: Built, asked: NDArray[np.int64], student: Built, learnt: NDArray[np.int64]
) -> None:
    """Raise DataError unless both are asked the same: `asked` and `learnt` say of which example each sample is."""
    several = [numbers for numbers in (asked, learnt) if len(numbers) > len(np.unique(numbers))]
    if several and not (np.array_equal(asked, learnt) and _ways_in(teacher) == _ways_in(student)):
        number = int(several[0][np.flatnonzero(np.diff(several[0]) == 0)[0]])
        counts = [int((numbers == number).sum()) for numbers in (asked, learnt)]
        raise DataError(
            f"distil.teacher: {path} and its student cut examples into several samples, and not alike: into "
            f"{counts[0]} and {counts[1]} the training example of number {number}. One sample of each example, or the "
            "same windows, were expected. Train both with the same settings of windows, such as model.length, or name "
            "another teacher."
        )


def _ways_in(built: Built) -> str | None:
    """What tells the samples that a processor makes from those of another."""
    spec, section = built.spec, built.recipe.plain()["model"]
    return store.key(spec.fingerprint, "train", spec.target, built.processor, section)


def _room(samples: int, choices: int, device: torch.device) -> Tensor:
    """A table for the answers; raises TaskkitError where they are too much for the memory here or on the device."""
    size = 4 * samples * choices
    for memory in (torch.device("cpu"), device):
        if not fits(size, memory):
            raise TaskkitError(
                f"distil: a teacher's answers to {samples:,} training samples among {choices:,} choices are "
                f"{size / 1e9:,.1f} GB, which is too much for the free memory ({memory.type}). Learn from fewer "
                "examples, by loader.fraction, or set distil=null."
            )
    return torch.empty(samples, choices)
