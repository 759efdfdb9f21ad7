"""An exported folder: what export.json says of it, and its files, each compared with its hash before it is read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from taskkit.cachedir import file_sha256
from taskkit.errors import CheckpointError, DataError
from taskkit.handover import plain

FILE = "export.json"
SCHEMA = 1
PROCESSOR, TASK, STATE = "processor.json", "task.json", "state.safetensors"
"""What the processor learnt; what the task has beside its network; the tensors that either holds."""
CARD, RECIPE, LABELS, LICENCES, WEIGHTS = "README.md", "recipe.yaml", "labels.json", "LICENCES.md", "model.safetensors"
KNOWN = "known.json"
"""What may be told to whoever asks, which a server tells."""
PROGRAMS = {"torch": "program.pt2", "onnx": "program.onnx"}
Form = Literal["torch", "onnx", "safetensors", "huggingface"]
Precision = Literal["fp32", "fp16", "bf16"]
FORMS: tuple[Form, ...] = get_args(Form)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True)
class File:
    """One file of an exported folder."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class ProgramFacts:
    """What an exported program takes and answers."""

    inputs: Mapping[str, Mapping[str, Any]]
    """The `dtype` and the `shape` of each input; a size that is free is null."""
    outputs: tuple[str, ...]
    answer: Any
    """How the outputs are put together for the task, as `handover.answers.described` writes it."""

    def taking(self, ask: Callable[[Mapping[str, Any]], Any]) -> Callable[[Mapping[str, Any]], Any]:
        """The program, which then raises DataError, in words, where an input has another size than it takes."""

        def checked(inputs: Mapping[str, Any]) -> Any:
            for name, facts in self.inputs.items():
                sizes, given = facts["shape"], tuple(inputs[name].shape) if name in inputs else ()
                if len(sizes) != len(given) or any(size not in (None, n) for size, n in zip(sizes, given, strict=True)):
                    wanted = ", ".join("any" if size is None else str(size) for size in sizes)
                    raise DataError(
                        f"{name} of the size ({', '.join(map(str, given))}): the program takes ({wanted}). Ask it "
                        "about an input of this size, or ask the run itself."
                    )
            return ask(inputs)

        return checked


@dataclass(frozen=True)
class Compared:
    """What was compared before the folder was handed over, and what came of it."""

    what: str
    precision: Precision
    largest: float | None
    """The largest difference of any output, in units of its largest magnitude, or of 1; None: words were compared."""
    limit: float | None
    where: str
    shapes: tuple[Mapping[str, Any], ...]
    """Those of the batches."""
    rows: int
    """Examples that were asked about."""
    answers: int | None
    """Predictions that were compared; None: a test of this task makes none."""
    changed: tuple[str, ...]
    """Ids of examples whose prediction is another."""
    holds: bool


@dataclass(frozen=True)
class ExportRecord:
    """What export.json says."""

    run: str
    title: str
    form: Form
    precision: Precision
    """Of the weights; what is computed is float32."""
    created: str
    recipe: Mapping[str, Any]
    spec: Mapping[str, Any]
    plugins: tuple[Mapping[str, str], ...]
    versions: Mapping[str, str]
    """Of what it was written by."""
    files: Mapping[str, File]
    program: ProgramFacts | None = None
    """None: the folder holds weights, and the plugin's code, or transformers, builds the network."""
    compared: tuple[Compared, ...] = ()
    schema: int = SCHEMA

    def to_json(self) -> str:
        """The text of export.json."""
        return json.dumps(dataclasses.asdict(self), indent=2, allow_nan=False) + "\n"


def is_export(path: Path) -> bool:
    """Whether a path is that of an exported folder."""
    return (path / FILE).is_file()


def read(folder: Path) -> ExportRecord:
    """What an exported folder says of itself; raises CheckpointError for what is none, or damaged."""
    path = folder / FILE
    try:
        found = json.loads(path.read_bytes())
        if found["schema"] != SCHEMA:
            raise CheckpointError(
                f"{path}: schema {found['schema']!r}; this taskkit reads {SCHEMA}. Use the taskkit that wrote it."
            )
        program = found["program"]
        if found["form"] not in FORMS:
            raise ValueError(f"nothing is exported as {found['form']!r}")
        return ExportRecord(
            **{
                **found,
                "plugins": tuple(found["plugins"]),
                "files": {name: File(**each) for name, each in found["files"].items()},
                "program": None
                if program is None
                else ProgramFacts(**{**program, "outputs": tuple(program["outputs"])}),
                "compared": tuple(
                    Compared(**{**each, "shapes": tuple(each["shapes"]), "changed": tuple(each["changed"])})
                    for each in found["compared"]
                ),
            }
        )
    except FileNotFoundError:
        raise CheckpointError(f"{folder}: no {FILE} here. A folder that `taskkit export` wrote was expected.") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: damaged ({error}). What `taskkit export` wrote was expected. Export the run again."
        ) from None


def file(folder: Path, record: ExportRecord, name: str) -> Path:
    """The path of a file once its content is what was written.

    Raises CheckpointError, which names the file, for one that is missing or another.
    """
    path, known = folder / name, record.files.get(name)
    if known is None or Path(name).name != name:
        raise CheckpointError(
            f"{folder / FILE}: it lists no {name}. A whole export was expected. Export the run again."
        )
    if not path.is_file():
        raise CheckpointError(
            f"{path}: it is missing. {FILE} lists it. Export the run again, or copy all of the folder."
        )
    if path.stat().st_size != known.bytes or file_sha256(path) != known.sha256:
        raise CheckpointError(
            f"{path}: it is not what was exported: its SHA-256 is another than {FILE} states. Nothing of it was read. "
            "Copy the folder again, or export the run again."
        )
    return path


def content(folder: Path, record: ExportRecord, name: str, tensors: Mapping[str, Any]) -> Any:
    """The value that a JSON file of the folder holds, with these tensors in it; raises CheckpointError."""
    path = file(folder, record, name)
    try:
        return plain.unpack(json.loads(path.read_bytes()), tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error} Export the run again.") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged ({error}). Export the run again.") from None


def program(folder: Path, record: ExportRecord) -> Path:
    """The path of the program, once it and what lies in files beside it are what was written; raises as `file` does."""
    name = PROGRAMS[record.form]
    for each in record.files:
        if each.startswith(name):
            file(folder, record, each)
    return file(folder, record, name)


def listed(folder: Path) -> dict[str, File]:
    """All files of a folder, with their hashes."""
    return {
        path.name: File(file_sha256(path), path.stat().st_size)
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != FILE
    }
