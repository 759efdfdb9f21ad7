"""A run handed over as a folder: written beside its name, compared with the run, and put there when it is whole."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import pickle
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from taskkit.answering.network import NetworkAnswerer
from taskkit.apart import Difference, largest
from taskkit.batches.encode import samples_of
from taskkit.contracts.data import Stream
from taskkit.contracts.facts import SPLITS, Classes, DataSpec, Example, Prediction, Split
from taskkit.contracts.model import Model, Sample
from taskkit.engine import build
from taskkit.engine.build import Built
from taskkit.engine.evaluate import answers
from taskkit.engine.guard import calling
from taskkit.errors import DataError, RunFailedError, TaskkitError
from taskkit.handover import card, onnx
from taskkit.handover import export as programs
from taskkit.handover import folder as files
from taskkit.handover.answers import tensors
from taskkit.handover.asked_by_torch import NETWORK
from taskkit.handover.asking import Ask, Inputs, answering, asked, batch_of
from taskkit.handover.export import Program
from taskkit.handover.folder import Compared, ExportRecord, Form, Precision, ProgramFacts
from taskkit.handover.known import elsewhere, known, without_places
from taskkit.handover.loaded_export import LoadedExport
from taskkit.handover.parity import LIMIT, Parity, apart, parity, predicts, same
from taskkit.handover.plain import pack
from taskkit.plugins.registry import Plugins
from taskkit.recipe.dump import document
from taskkit.runs import checkpoint, packing
from taskkit.runs.manifest import Manifest

log = logging.getLogger("taskkit")

EXPORTED_BY = 48
"""Training examples by which a network is exported."""
SHAPES = 3
"""At least so many shapes of batches, none of them one that was exported by, are compared."""
DTYPES: Mapping[Precision, torch.dtype | None] = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}
LIMITS: Mapping[Precision, float] = {"fp32": LIMIT, "fp16": 1e-2, "bf16": 5e-2}
"""Of the largest magnitude of an output, or of 1: a weight of 16 bits is off by 0.0005 or 0.004 of itself."""
OTHERS: Mapping[Precision, float] = {"fp32": 0.0, "fp16": 0.01, "bf16": 0.01}
"""The share of predictions that may be others, since some always stand between two answers."""


@dataclass(frozen=True)
class Handed:
    """A run that is handed over, with some of its own examples."""

    directory: Path
    manifest: Manifest
    built: Built
    conclusion: Mapping[str, Any]
    classes: Sequence[Mapping[str, str]]
    """The rows of classes.csv."""
    exported_by: Sequence[Sample]
    split: Split
    examples: Sequence[Example]
    """Those of the test, or of another split where that is empty."""

    @classmethod
    def of(
        cls,
        directory: Path,
        manifest: Manifest,
        built: Built,
        checkpoint_file: Path,
        classes: Sequence[Mapping[str, str]],
        rows: int | None,
    ) -> Handed:
        """The run with the first `rows` of its examples, or all; raises DataError where none are counted."""
        prepared = build.prepare(build.data_module(built.recipe), built.recipe)
        train = build.head(prepared, "train")
        for split in reversed(SPLITS):
            examples = prepared.examples(split)
            if not isinstance(examples, Stream) and len(examples):
                some = [examples[number] for number in range(min(rows or len(examples), len(examples)))]
                by = [train[number] for number in range(min(EXPORTED_BY, len(train)))] or some
                kept = checkpoint_file.with_name(checkpoint.CONCLUSION)
                return cls(
                    directory,
                    manifest,
                    built,
                    checkpoint.load_safely(kept) if kept.exists() else {},
                    classes,
                    [sample for each in by for sample in samples_of(each, built.processor)],
                    split,
                    some,
                )
        raise DataError(
            f"{built.recipe.data.name}: these data have streams only, of which there are no rows to compare answers "
            "on. Export a run with a test split that can be counted."
        )


def write(run: Handed, form: Form, precision: Precision, target: Path, plugins: Plugins) -> ExportRecord:
    """Export a run into a new folder; nothing is left where that fails.

    Raises TaskkitError where there is such a folder already, where a package lacks or the model says that it cannot be,
    and RunFailedError where it answers otherwise than the run.
    """
    _check_target(target)
    if form == "onnx" and (lacking := onnx.missing()):
        raise TaskkitError(f"--to onnx needs {' and '.join(lacking)}: pip install 'taskkit-ml[onnx]'")
    if form == "huggingface":
        _check_transformers(run.built, precision)
    if run.built.recipe.privacy.encrypt:
        log.warning("%s: the run is encrypted, and what is exported is not: whoever has the folder can ask it", target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as place:
        folder = Path(place) / "export"
        folder.mkdir()
        record = _written(run, form, precision, folder, plugins)
        if target.exists():
            target.rmdir()
        shutil.move(folder, target)
    return record


def _written(run: Handed, form: Form, precision: Precision, folder: Path, plugins: Plugins) -> ExportRecord:
    if form == "huggingface":
        compared = [_pretrained(run, folder)]
        record = _described(run, form, precision, None)
        _write_words(run, record, folder)
        return _finished(run, record, folder, compared)
    program, compared = None, list[Compared]()
    if form in files.PROGRAMS:
        if precision != "fp32":
            compared.append(_program(run, form, "fp32", folder)[1])
        program, found = _program(run, form, precision, folder)
        compared.append(found)
    else:
        _save(_weights(run.built, DTYPES[precision]), folder / files.WEIGHTS)
    _write_state(run, folder)
    record = _described(run, form, precision, program)
    _write_words(run, record, folder)
    record = replace(record, files=files.listed(folder))
    (folder / files.FILE).write_text(record.to_json(), encoding="utf-8")
    if program is None:
        compared.append(_weights_compared(run, precision, LoadedExport(folder, record, plugins)))
    compared.append(_folder_compared(run, folder, record, plugins))
    return _finished(run, record, folder, compared)


def _finished(run: Handed, record: ExportRecord, folder: Path, compared: Sequence[Compared]) -> ExportRecord:
    """Write what was compared into the folder; raises RunFailedError where its answers are others."""
    record = replace(record, compared=tuple(compared))
    (folder / files.CARD).write_text(_card(run, record), encoding="utf-8")
    record = replace(record, files=files.listed(folder))
    (folder / files.FILE).write_text(record.to_json(), encoding="utf-8")
    for each in compared:
        _check(each, record.form)
    return record


def _check_transformers(built: Built, precision: Precision) -> None:
    """Raise TaskkitError where there is no model of transformers to hand over."""
    owner = built.recipe.model
    if type(built.model).save_pretrained is Model.save_pretrained:
        others = ", ".join(form for form in files.FORMS if form != "huggingface")
        raise TaskkitError(
            f"--to huggingface: {owner.name} ({owner.plugin}) is no model of transformers, which could not read it. "
            f"Any of {others} was expected."
        )
    if precision != "fp32":
        raise TaskkitError(f"--precision {precision}: weights for transformers are kept in fp32. Leave it out.")


def _pretrained(run: Handed, folder: Path) -> Compared:
    """Let the model write a folder for transformers, and compare what that answers with the run, row by row."""
    built = run.built
    network = built.network.float().eval()
    with calling(built.recipe.model, "save_pretrained"):
        ask = built.model.save_pretrained(network, folder, built.spec, built.processor)
    pairs = [(each, sample) for each in run.examples for sample in samples_of(each, built.processor)]
    differences, changed = list[Difference](), list[str]()
    options = built.task.predict_options()
    for example, sample in pairs:
        batch = batch_of(built, [sample], complete=False)
        _, answer, outputs = asked(built, batch)
        with torch.no_grad(), calling(built.recipe.model, "save_pretrained"):
            found = tensors(ask(example, sample))
        differences.append(apart(tensors(answer), found, f"of {example.id}"))
        if predicts(built):
            with answering(built.network, lambda inputs, found=found: found):  # type: ignore[misc]
                _, _, other = asked(built, batch)
            owner = built.recipe.task
            one, two = (answers(built.task, owner, batch, said, [example], options)[0] for said in (outputs, other))
            changed += [] if same(one, two, LIMIT) else [example.id]
    far = largest(differences)
    return Compared(
        "the run and the folder as transformers reads it, from its own reading of each input on",
        "fp32",
        far.size if far.size < float("inf") else None,
        LIMIT,
        far.where if far.size else "",
        (),
        len(run.examples),
        len(pairs) if predicts(built) else None,
        tuple(dict.fromkeys(changed)),
        far.size <= LIMIT and not changed,
    )


def _program(run: Handed, form: Form, precision: Precision, folder: Path) -> tuple[Program, Compared]:
    """Write the program of this precision, and compare it."""
    program = programs.export(run.built, run.exported_by, DTYPES[precision])
    path = folder / files.PROGRAMS[form]
    for old in folder.glob(f"{path.name}*"):
        old.unlink()
    ask = onnx.read(onnx.save(program, path)) if form == "onnx" else programs.read(program.save(path))
    what = f"the network and its program of {'ONNX' if form == 'onnx' else 'torch.export'}, read back from its file"
    return program, _compared(run, what, precision, program.used, ask)


def _weights_compared(run: Handed, precision: Precision, loaded: LoadedExport) -> Compared:
    answerer = loaded.answerer
    assert isinstance(answerer, NetworkAnswerer)
    network = answerer.built.network.eval()

    def ask(inputs: Inputs) -> dict[str, Tensor]:
        with torch.no_grad():
            return tensors(network(**inputs))

    return _compared(run, "the network and one with the weights that were written", precision, (), ask)


def _compared(run: Handed, what: str, precision: Precision, used: Sequence[programs.Shapes], ask: Ask) -> Compared:
    pairs = [(each, sample) for each in run.examples for sample in samples_of(each, run.built.processor)]
    samples = [sample for _, sample in pairs]
    limit, others = LIMITS[precision], OTHERS[precision]
    found = parity(run.built, used, ask, [example for example, _ in pairs], samples, limit, others)
    return _said(what, precision, found, len(run.examples))


def _said(what: str, precision: Precision, found: Parity, rows: int) -> Compared:
    size = found.apart.size
    return Compared(
        what,
        precision,
        size if size < float("inf") else None,
        found.limit,
        found.apart.where if size else "",
        tuple({name: list(shape) for name, shape in each.items()} for each in found.shapes),
        rows,
        found.answers,
        found.changed,
        found.holds and len(found.shapes) >= SHAPES,
    )


def _folder_compared(run: Handed, folder: Path, record: ExportRecord, plugins: Plugins) -> Compared:
    """Ask the folder as `taskkit predict` does, in a process of its own where it needs no torch, and compare."""
    built, loaded = run.built, LoadedExport(folder, record, plugins)
    if not predicts(built):
        return Compared("", record.precision, None, None, "", (), 0, None, (), holds=True)
    options = built.task.predict_options()
    asked = run.examples
    own = NetworkAnswerer(built, torch.device("cpu"), nullcontext)
    expected = own.answer(asked, [own.encode(example) for example in asked], options)
    if loaded.is_portable:
        what = "what the run and the folder answer, this one in a process without torch and Lightning"
        answered = _without_torch(folder, asked)
    else:
        what = "what the run and the folder answer"
        answerer = loaded.answerer
        answered = answerer.answer(asked, [answerer.encode(example) for example in asked], options)
    limit = LIMITS[record.precision]
    changed = tuple(
        example.id for example, one, other in zip(asked, expected, answered, strict=True) if not same(one, other, limit)
    )
    holds = len(changed) <= OTHERS[record.precision] * len(asked)
    return Compared(what, record.precision, None, limit, "", (), len(asked), len(asked), changed, holds)


_ASK = """
import pickle, sys
from pathlib import Path
from taskkit.handover.loaded_export import load_export
examples = pickle.load(sys.stdin.buffer)
answerer = load_export(sys.argv[1]).answerer
options = answerer.predict_options[1]()
found = answerer.answer(examples, [answerer.encode(example) for example in examples], options)
loaded = [name for name in ("torch", "pytorch_lightning", "lightning_fabric") if name in sys.modules]
assert not loaded, f"it imports {', '.join(loaded)}"
pickle.dump(found, sys.stdout.buffer)
"""


def _without_torch(folder: Path, examples: Sequence[Example]) -> Sequence[Prediction]:
    """What the folder answers in a process of its own; raises RunFailedError where that fails, or imports torch."""
    ended = subprocess.run(
        [sys.executable, "-P", "-c", _ASK, str(folder)],
        input=pickle.dumps(
            [replace(each, input=_arrays(each.input), target=_arrays(each.target)) for each in examples]
        ),
        capture_output=True,
    )
    if ended.returncode:
        lines = ended.stderr.decode(errors="replace").strip().splitlines() or ["it ended without a word"]
        raise RunFailedError(
            f"The exported folder cannot be asked without torch: {lines[-1]} The `portable` of the model or of the "
            "task is at fault: correct it, or declare none."
        )
    answered: Sequence[Prediction] = pickle.loads(ended.stdout)  # our own process wrote it
    return answered


def _arrays(value: Any) -> Any:
    """A raw input with NumPy's arrays for tensors."""
    if isinstance(value, Tensor):
        return value.numpy()
    if isinstance(value, Mapping):
        return {name: _arrays(item) for name, item in value.items()}
    return type(value)(map(_arrays, value)) if type(value) in (list, tuple) else value


def _check(found: Compared, form: Form) -> None:
    """Raise RunFailedError where answers are others, with how far and where."""
    if found.holds:
        return
    if found.shapes and len(found.shapes) < SHAPES:
        raise RunFailedError(
            f"Nothing is exported: {found.what} were compared in {len(found.shapes)} shapes of batches that it was not "
            f"exported by, and {SHAPES} were expected. Compare more examples by --examples."
        )
    apart = ""
    if found.where:
        size = "without bound" if found.largest is None else f"{found.largest:.3g}"
        apart = (
            f" The largest difference is {size} of an output's magnitude ({found.where}); the limit is {found.limit:g}."
        )
    advice = (
        "Transformers reads inputs, or computes behind the encoder, otherwise. Export --to onnx."
        if form == "huggingface"
        else "Export in fp32, or write `Model.exportable`, which gives a network that answers alike."
    )
    named = ", ".join(found.changed[:3]) + (", …" if len(found.changed) > 3 else "")
    changed = f" {len(found.changed)} of {found.answers} predictions are others ({named})." if found.changed else ""
    raise RunFailedError(
        f"Nothing is exported, since {found.what} do not answer alike in {found.precision}, on {found.rows} examples."
        f"{apart}{changed} {advice}"
    )


def _weights(built: Built, dtype: torch.dtype | None) -> dict[str, Tensor]:
    state = {name: each for name, each in built.task.state_dict().items() if isinstance(each, Tensor)}
    return {name: each.to(dtype) if dtype and each.dtype == torch.float32 else each for name, each in state.items()}


def _write_state(run: Handed, folder: Path) -> None:
    """What the processor learnt and what the task has beside its network, as JSON and one file of tensors."""
    with calling(run.built.recipe.model, "Processor.state_dict"):
        processor = pack(dict(run.built.processor.state_dict()), "processor")
    whole = (folder / files.WEIGHTS).exists()
    # With the weights, tensors are there already; what is no tensor, as trees are, is kept here.
    own = {
        name: each
        for name, each in run.built.task.state_dict().items()
        if (not isinstance(each, Tensor) if whole else not name.startswith(NETWORK))
    }
    task = pack({"state": own, "conclusion": dict(run.conclusion)}, "task")
    for name, packed in ((files.PROCESSOR, processor), (files.TASK, task)):
        text = json.dumps(packed.json, ensure_ascii=False, allow_nan=False)
        (folder / name).write_text(text, encoding="utf-8")
    _save({**processor.tensors, **task.tensors}, folder / files.STATE)


def _save(state: Mapping[str, Tensor], path: Path) -> None:
    # Two names of one tensor are written twice, which safetensors would refuse.
    save_file({name: each.detach().cpu().clone().contiguous() for name, each in state.items()}, path)
    path.chmod(path.parent.stat().st_mode & 0o666)  # it is the owner's alone else


def _described(run: Handed, form: Form, precision: Precision, program: Program | None) -> ExportRecord:
    facts = None
    if program is not None:
        inputs = {name: {"dtype": program.dtypes[name], "shape": list(shape)} for name, shape in program.inputs.items()}
        facts = ProgramFacts(inputs, program.outputs, program.answer)
    # Of the facts nothing else names a place, and a class may be called as one.
    origins = tuple(replace(each, source=without_places(each.source)) for each in run.built.spec.origins)
    return ExportRecord(
        run=run.manifest.id,
        title=run.built.recipe.title,
        form=form,
        precision=precision,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe=without_places(run.built.recipe.plain()),
        spec=packing.pack(replace(run.built.spec, origins=origins)),
        plugins=tuple({key: each[key] for key in ("distribution", "version")} for each in run.manifest.plugins),
        versions=_versions(run.built, form),
        files={},
        program=facts,
    )


def _versions(built: Built, form: Form) -> dict[str, str]:
    packages = ["taskkit-ml", "torch", "numpy", "safetensors", *(each.distribution for each in built.plugins)]
    packages += onnx.NEEDED if form == "onnx" else ()
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # a plugin that is a file
            continue
    return found


def _write_words(run: Handed, record: ExportRecord, folder: Path) -> None:
    (folder / files.RECIPE).write_text(document(dict(record.recipe), {}), encoding="utf-8")
    if (labels := _labels(run.built.spec)) is not None:
        (folder / files.LABELS).write_text(json.dumps(labels, ensure_ascii=False, indent=1), encoding="utf-8")
    (folder / files.LICENCES).write_text(card.licences(elsewhere(run.manifest)), encoding="utf-8")
    told = json.dumps(known(run.manifest), ensure_ascii=False, indent=1, allow_nan=False)
    (folder / files.KNOWN).write_text(told + "\n", encoding="utf-8")


def _labels(spec: DataSpec) -> list[str] | None:
    return list(spec.target.names) if isinstance(spec.target, Classes) else None


def _card(run: Handed, record: ExportRecord) -> str:
    return card.card(elsewhere(run.manifest), run.directory, run.classes, record)


def _check_target(target: Path) -> None:
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists() or target.is_symlink():
        raise TaskkitError(f"{target}: there is something already. A new folder was expected. Name another with -o.")
