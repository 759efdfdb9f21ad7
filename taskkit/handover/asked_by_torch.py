"""An exported folder asked by the plugins' own code in torch, with its program, or its weights, for the network."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from typing_extensions import override

from taskkit.answering.network import NetworkAnswerer
from taskkit.contracts.data import Batch
from taskkit.contracts.facts import DataSpec
from taskkit.contracts.recipe import Recipe
from taskkit.engine import build
from taskkit.engine.build import Built
from taskkit.engine.guard import calling
from taskkit.errors import CheckpointError
from taskkit.handover import export, onnx
from taskkit.handover import folder as files
from taskkit.handover.asking import InStead
from taskkit.handover.folder import ExportRecord

NETWORK = "network."
"""What the names of a network's weights begin with among those of its task."""


class ProgramAnswerer(NetworkAnswerer):
    """A task whose network is a program, which takes the same inputs always."""

    @override
    def complete(self, batch: Batch) -> Batch:
        with calling(self.built.recipe.model, "Processor.complete"):
            return self.built.processor.complete(batch)


def with_torch(path: Path, record: ExportRecord, recipe: Recipe, spec: DataSpec, threads: int = 0) -> NetworkAnswerer:
    """What answers by an exported folder, in this process with so many threads, 0: as many as it has.

    Raises CheckpointError for a file that is not what was written.
    """
    if threads:
        torch.set_num_threads(threads)
    tensors = load_file(files.file(path, record, files.STATE))
    state, kept = (files.content(path, record, name, tensors) for name in (files.PROCESSOR, files.TASK))
    built = build.untrained(recipe, spec, state)
    own = dict(kept["state"])
    if record.program is None:
        own |= {
            name: each.float() if each.is_floating_point() else each for name, each in _weights(path, record).items()
        }
    _load(path, built, own, whole=record.program is None)
    if kept["conclusion"]:
        built.task.load_conclusion(kept["conclusion"])
    if record.program is None:
        return NetworkAnswerer(built, torch.device("cpu"), nullcontext)
    program = files.program(path, record)
    ask = onnx.read(program) if record.form == "onnx" else export.read(program)
    network = InStead(built.network, record.program.taking(ask), record.program.answer)
    built.task.network = network
    return ProgramAnswerer(replace(built, network=network), torch.device("cpu"), nullcontext)


def _weights(path: Path, record: ExportRecord) -> dict[str, torch.Tensor]:
    return load_file(files.file(path, record, files.WEIGHTS))


def _load(path: Path, built: Built, state: dict[str, object], *, whole: bool) -> None:
    """Put weights into a task; raises CheckpointError where they are not those that the installed code wants."""
    try:
        found = built.task.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: {str(error).splitlines()[-1].strip()} {_ADVICE}") from None
    lacking = [name for name in found.missing_keys if whole or not name.startswith(NETWORK)]
    if lacking or found.unexpected_keys:
        names = ", ".join([*lacking, *found.unexpected_keys][:3])
        raise CheckpointError(
            f"{path}: its weights are not those that {built.recipe.model.name} has ({names}). {_ADVICE}"
        )


_ADVICE = f"Install the versions that {files.FILE} names, or export the run again."
