"""An exported folder that is asked, as a run is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from typing_extensions import override

from taskkit import cores
from taskkit.answering.answerer import Answerer
from taskkit.answering.asking import Asked
from taskkit.answering.processes import Opening
from taskkit.cachedir import file_sha256
from taskkit.contracts.facts import DataSpec
from taskkit.contracts.recipe import Recipe
from taskkit.errors import CheckpointError, TaskkitError
from taskkit.handover import folder as files
from taskkit.handover import portable, runtime
from taskkit.handover.folder import ExportRecord
from taskkit.plugins.discovery import Again, from_environment
from taskkit.plugins.registry import Plugins
from taskkit.recipe import load as recipes
from taskkit.runs import packing


def load_export(path: str | Path, *, plugins: Plugins | None = None) -> LoadedExport:
    """Open a folder that `taskkit export` wrote; raises CheckpointError when it is none."""
    path = Path(path)
    return LoadedExport(path, files.read(path), plugins or from_environment())


class LoadedExport(Asked):
    """An exported folder: what it says of itself, and what answers in the run's stead.

    Where it holds a program in ONNX, and the model and the task declare a `portable`, no torch is imported.
    """

    def __init__(self, path: Path, record: ExportRecord, plugins: Plugins, threads: int = 0) -> None:
        self.path = path
        self.record = record
        """What export.json says."""
        self.plugins = plugins
        self.threads = threads
        """So many of the CPU compute; 0: as many as there are."""

    def __repr__(self) -> str:
        return f"<export {self.path}: {self.record.form}, {self.record.title}>"

    @property
    @override
    def name(self) -> str:
        return self.record.run

    @property
    @override
    def identity(self) -> Mapping[str, Any]:
        return {"run": self.record.run, "export": file_sha256(self.path / files.FILE)}

    @contextmanager
    @override
    def guarded(self) -> Iterator[None]:
        if self.is_portable:
            with portable.blaming(self.recipe):
                yield
            return
        from taskkit.engine.guard import blaming
        from taskkit.engine.machine import in_words

        with in_words(), blaming(self.recipe.chosen().values()):
            yield

    @property
    def card(self) -> str:
        """The model card, Markdown."""
        return files.file(self.path, self.record, files.CARD).read_text(encoding="utf-8")

    @property
    def known(self) -> Mapping[str, Any]:
        """What may be told to whoever asks, as of a run: metrics with intervals, data, cost."""
        found: Mapping[str, Any] = json.loads(files.file(self.path, self.record, files.KNOWN).read_bytes())
        return found

    @cached_property
    def recipe(self) -> Recipe:
        """The run's recipe; raises RecipeError where no installed plugin has its components."""
        return recipes.from_plain(self.record.recipe, self.plugins)

    @cached_property
    def answerer(self) -> Answerer:
        """What answers, on the CPU; raises CheckpointError, which names it, for a file that is not what was written."""
        if self.record.form == "huggingface":
            raise CheckpointError(
                f"{self.path}: it is for transformers, whose from_pretrained reads it, and not for taskkit. Ask the "
                "run, or what is exported with --to onnx."
            )
        spec = packing.unpack(self.record.spec, packing.declared_facts(self.plugins.components))
        if self.is_portable:
            return self._portable(spec)
        from taskkit.handover.asked_by_torch import with_torch

        return with_torch(self.path, self.record, self.recipe, spec, self.threads)

    @override
    def _elsewhere(self, devices: int) -> list[Opening]:
        if devices > (there := len(cores.usable())):
            raise TaskkitError(
                f"devices={devices}: an exported folder answers on the CPU, which has {there} cores here. At most so "
                "many were expected."
            )
        plugins = Again.of(self.plugins)
        return [partial(_answerer, self.path, plugins, max(1, there // devices))] * devices

    @property
    def is_portable(self) -> bool:
        """Whether it answers without torch."""
        return self.record.form == "onnx" and portable.is_portable(self.recipe)

    def _portable(self, spec: DataSpec) -> Answerer:
        from safetensors.numpy import load_file

        program = self.record.program
        if program is None:
            raise CheckpointError(f"{self.path / files.FILE}: it names no program. Export the run again.")
        tensors: Mapping[str, Any] = load_file(files.file(self.path, self.record, files.STATE))
        state, task = (files.content(self.path, self.record, name, tensors) for name in (files.PROCESSOR, files.TASK))
        ask = program.taking(runtime.load(files.program(self.path, self.record), self.threads))
        return portable.PortableAnswerer(self.recipe, spec, ask, list(program.inputs), state, task)


@contextmanager
def _answerer(path: Path, plugins: Again, threads: int) -> Iterator[Answerer]:
    """What answers in one of several processes."""
    export = LoadedExport(path, files.read(path), plugins(), threads)
    with export.guarded():
        yield export.answerer
