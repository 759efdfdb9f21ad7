"""Encoded samples: made once by a Processor, kept in memory maps, found again by all that decided them."""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import os
import sys
import traceback
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from taskkit.cachedir import cache_directory, exclusive, filling
from taskkit.contracts.facts import Example
from taskkit.errors import DataError, RunFailedError

if TYPE_CHECKING:
    from taskkit.contracts.model import Processor, Sample

log = logging.getLogger("taskkit")

Progress = Callable[[int, int], None]
"""Told how many examples are encoded, of how many."""

_FORMAT = 1
"""Changes whenever the files of an entry do, or what the host does when it encodes."""
_INDEX = "index.json"
_CHUNK = 16
"""Examples that a worker encodes before it hands them over."""


def key(
    fingerprint: str,
    split: str,
    processor: Processor,
    section: Mapping[str, Any],
    versions: Mapping[str, str] | None = None,
) -> str | None:
    """Name the samples of a split by everything that decides them: data, processor, its code and its section.

    `fingerprint` is that of the DataSpec; `versions` are those of the packages that the processor uses. Its
    code is the Python files in the folders of its classes. None when these cannot be read, as in a bare
    interpreter, where nothing vouches for samples kept from another time. Raises TypeError when the state or
    the section is not plain data.
    """
    code = _code(type(processor))
    if code is None:
        return None
    facts = {
        "format": [_FORMAT, sys.byteorder],
        "data": [fingerprint, split],
        "processor": [f"{type(processor).__module__}:{type(processor).__qualname__}", code],
        "state": processor.state_dict(),
        "section": section,
        "versions": versions or {},
    }
    return _hash(json.dumps(_plain(facts)).encode())


def encode(
    examples: Sequence[Example],
    processor: Processor,
    *,
    key: str | None,
    workers: int = 0,
    progress: Progress | None = None,
) -> Encoded:
    """Encode all examples in order, in `workers` processes (0: this one), or find them encoded under `key`.

    Without a key the samples stay in memory. A field has one dtype throughout; its shape may differ from
    sample to sample, and samples may lack it. Raises DataError, naming the example, when one cannot be
    encoded or gives no sample, and RunFailedError when the samples cannot be written or a worker dies.
    """
    if key is None:
        writer = _Writer(None)
        writer.fill(examples, processor, workers, progress)
        return writer.encoded()
    entry = cache_directory() / "samples" / key
    found = _found(entry)
    return found if found is not None else _make(entry, examples, processor, workers, progress)


def is_note(field: str) -> bool:
    """Whether a field of a sample is a remark for a person, which no batch holds."""
    return field.startswith("note_")


class Encoded(Dataset["Sample"]):
    """The samples of a split, in order; a copy for another process opens the memory map there again."""

    def __init__(
        self,
        columns: Mapping[str, Column],
        example_of: NDArray[np.int64],
        lengths: NDArray[np.int64],
        ids: Sequence[str],
        folder: Path | None = None,
    ) -> None:
        self._columns = columns
        self._folder = folder
        self.example_of = example_of
        """For each sample the number of its example, in order."""
        self.lengths = lengths
        """For each sample what `Processor.length` says."""
        self.ids = list(ids)
        """For each example its id."""

    @classmethod
    def open(cls, folder: Path) -> Encoded:
        """Open an entry of the cache; raises DataError when it is not whole."""
        try:
            index = _read_index(folder)
            tables = {name: np.load(folder / f"{name}.npy") for name in ("example_of", "lengths")}
            columns = {
                f["name"]: _open_column(folder, number, f, index["samples"]) for number, f in enumerate(index["fields"])
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{folder}: the encoded samples are damaged: {error}. Remove the folder to encode them again."
            ) from error
        return cls(columns, tables["example_of"], tables["lengths"], index["ids"], folder)

    def __len__(self) -> int:
        return len(self.example_of)

    def __getitem__(self, number: int) -> Sample:
        if not -len(self) <= number < len(self):
            raise IndexError(f"sample {number} of {len(self)}")
        values = ((name, column[number]) for name, column in self._columns.items())
        return {name: value for name, value in values if value is not None}

    def __reduce__(self) -> tuple[Any, ...]:
        if self._folder is not None:
            return Encoded.open, (self._folder,)
        return Encoded, (self._columns, self.example_of, self.lengths, self.ids)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the tensors that any sample has."""
        return tuple(self._columns)

    @property
    def windowed(self) -> bool:
        """Whether an example gave several samples."""
        return len(self.ids) < len(self)

    def notes(self) -> Mapping[str, list[str]]:
        """By each remark, without its `note_` and with blanks, the ids of the examples that it is about."""
        found = {name: [n for n in range(len(self)) if _is_set(column[n])] for name, column in self._notes().items()}
        return {
            name.removeprefix("note_").replace("_", " "): list(
                dict.fromkeys(self.ids[self.example_of[n]] for n in numbers)
            )
            for name, numbers in found.items()
            if numbers
        }

    def _notes(self) -> Mapping[str, Column]:
        return {name: column for name, column in self._columns.items() if is_note(name)}

    @property
    def nbytes(self) -> int:
        """The size of all tensors together."""
        return sum(column.values.nbytes for column in self._columns.values())

    def column(self, name: str) -> Tensor | None:
        """One field of all samples, (samples, …), without a copy; None unless all have it in one shape."""
        column = self._columns.get(name)
        return column.values if isinstance(column, Stacked) else None


def _is_set(note: Tensor | None) -> bool:
    return note is not None and bool(note)


@dataclass(frozen=True)
class Stacked:
    """A field that all samples have in one shape."""

    values: Tensor
    """Of shape (samples, …)."""

    def __getitem__(self, number: int) -> Tensor:
        # A view would take the whole field along to another process.
        return self.values[number].clone()


@dataclass(frozen=True)
class Ragged:
    """A field whose shape differs from sample to sample, or that some samples lack."""

    values: Tensor
    """The elements of all samples, one sample after another."""
    starts: NDArray[np.int64]
    """For each sample its first element; -1 when it lacks the field."""
    shapes: NDArray[np.int64]
    """For each sample its shape, filled up with -1 at the end."""

    def __getitem__(self, number: int) -> Tensor | None:
        start = int(self.starts[number])
        if start < 0:
            return None
        shape = [size for size in self.shapes[number].tolist() if size >= 0]
        return self.values[start : start + prod(shape)].view(shape).clone()


Column = Stacked | Ragged


class _Packed(NamedTuple):
    """A sample on its way from a worker: the dtype, shape and bytes of each tensor."""

    length: int
    tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]]


class _Failure(NamedTuple):
    """Why an example could not be encoded, and where in the code."""

    message: str
    trace: str


@dataclass(frozen=True)
class _Work(Dataset[tuple[str, list[_Packed]] | _Failure]):
    """Encodes one example after another, in any process; errors are handed over like samples."""

    examples: Sequence[Example]
    processor: Processor

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, number: int) -> tuple[str, list[_Packed]] | _Failure:
        name = f"example number {number}"
        try:
            example = self.examples[number]
            name = f"example {example.id!r}"
            samples = self.processor.encode(example)
            if not samples:
                raise DataError(f"{type(self.processor).__name__} makes no sample of it. One at least was expected.")
            return example.id, [self._pack(sample) for sample in samples]
        except DataError as error:
            told = str(error) if str(error).startswith(name) else f"{name}: {error}"
            return _Failure(told, traceback.format_exc())
        except Exception as error:
            what = f"{type(self.processor).__name__} cannot encode it: {type(error).__name__}: {error}"
            advice = "Mend the example, or leave it out of the data."
            return _Failure(f"{name}: {what}. {advice}", traceback.format_exc())

    def _pack(self, sample: Sample) -> _Packed:
        tensors = {}
        for name, value in sample.items():
            if not isinstance(value, Tensor):
                raise DataError(f"field {name!r} is a {type(value).__name__}. A tensor was expected.")
            tensors[name] = (str(value.dtype).removeprefix("torch."), tuple(value.shape), _bytes(value))
        return _Packed(int(self.processor.length(sample)), tensors)


class _Field:
    """One field while it is written: its bytes, and the shapes of the samples that have it."""

    def __init__(self, name: str, dtype: str, file: IO[bytes]) -> None:
        self.name = name
        self.dtype = dtype
        self.file = file
        self.owners = array("q")
        self.shapes: list[tuple[int, ...]] = []

    def shape(self, samples: int) -> tuple[int, ...] | None:
        """The shape that all of so many samples share, or None."""
        return self.shapes[0] if len(self.shapes) == samples and len(set(self.shapes)) == 1 else None

    def tables(self, samples: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The `starts` and `shapes` of a ragged field."""
        sizes = np.array([prod(shape) for shape in self.shapes], dtype=np.int64)
        starts = np.full(samples, -1, dtype=np.int64)
        starts[self.owners] = np.cumsum(sizes) - sizes
        shapes = np.full((samples, max(map(len, self.shapes))), -1, dtype=np.int64)
        for owner, shape in zip(self.owners, self.shapes, strict=True):
            shapes[owner, : len(shape)] = shape
        return starts, shapes


class _Writer:
    """Makes packed samples an entry of the cache in a folder, or, without one, in memory."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.fields: dict[str, _Field] = {}
        self.example_of = array("q")
        self.lengths = array("q")
        self.numbers: dict[str, int] = {}

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *error: object) -> None:
        for written in self.fields.values():
            written.file.close()

    def fill(self, examples: Sequence[Example], processor: Processor, workers: int, progress: Progress | None) -> None:
        """Encode all examples."""
        for chunk in _chunks(_Work(examples, processor), workers):
            for done in chunk:
                if isinstance(done, _Failure):
                    error = DataError(done.message)
                    error.add_note(done.trace)
                    raise error
                self._add(*done)
            if progress is not None:
                progress(len(self.numbers), len(examples))

    def _add(self, example: str, samples: Sequence[_Packed]) -> None:
        number = len(self.numbers)
        if self.numbers.setdefault(example, number) != number:
            raise DataError(
                f"example {example!r}: number {self.numbers[example]} of its split has the same id as number "
                f"{number}. Ids are unique in a split. Correct the data module's ids."
            )
        for sample in samples:
            for name, (dtype, shape, content) in sample.tensors.items():
                self._field(example, name, dtype).shapes.append(shape)
                self.fields[name].owners.append(len(self.lengths))
                self.fields[name].file.write(content)
            self.example_of.append(number)
            self.lengths.append(sample.length)

    def _field(self, example: str, name: str, dtype: str) -> _Field:
        if name not in self.fields:
            file = BytesIO() if self.folder is None else (self.folder / f"{len(self.fields)}.bin").open("wb")
            self.fields[name] = _Field(name, dtype, file)
        if self.fields[name].dtype != dtype:
            raise DataError(
                f"example {example!r}: field {name!r} is {dtype}, and {self.fields[name].dtype} before. "
                "A field has one dtype. Convert it in the processor's `encode`."
            )
        return self.fields[name]

    def encoded(self) -> Encoded:
        """The samples in memory."""
        samples = len(self.lengths)
        columns: dict[str, Column] = {}
        for name, made in self.fields.items():
            assert isinstance(made.file, BytesIO)
            buffer, dtype, shape = made.file.getbuffer(), getattr(torch, made.dtype), made.shape(samples)
            values = torch.frombuffer(buffer, dtype=dtype) if buffer.nbytes else torch.empty(0, dtype=dtype)
            stacked = None if shape is None else Stacked(values.view(samples, *shape))
            columns[name] = stacked or Ragged(values, *made.tables(samples))
        return Encoded(columns, _int64(self.example_of), _int64(self.lengths), list(self.numbers))

    def save(self) -> None:
        """Finish the folder: write the tables, and the index with the sizes and hashes of all files."""
        assert self.folder is not None
        samples = len(self.lengths)
        tables = {"example_of": _int64(self.example_of), "lengths": _int64(self.lengths)}
        for number, made in enumerate(self.fields.values()):
            made.file.close()
            if made.shape(samples) is None:
                tables[f"{number}.starts"], tables[f"{number}.shapes"] = made.tables(samples)
        for name, table in tables.items():
            np.save(self.folder / f"{name}.npy", table)
        files = {path.name: _seal(path) for path in sorted(self.folder.iterdir())}
        fields = [{"name": f.name, "dtype": f.dtype, "shape": f.shape(samples)} for f in self.fields.values()]
        index = {"samples": samples, "fields": fields, "files": files, "ids": list(self.numbers)}
        text = json.dumps(index)
        (self.folder / _INDEX).write_text(json.dumps({"sha256": _hash(text.encode()), "index": text}))
        _seal(self.folder / _INDEX)


def _make(
    entry: Path, examples: Sequence[Example], processor: Processor, workers: int, progress: Progress | None
) -> Encoded:
    """Encode into the cache, unless another process did while this one waited for it."""
    with exclusive(entry):
        found = _found(entry)
        if found is not None:
            return found
        if entry.exists():
            log.warning("the samples in %s are damaged and are encoded again", entry)
        try:
            with filling(entry) as folder, _Writer(folder) as writer:
                writer.fill(examples, processor, workers, progress)
                writer.save()
        except OSError as error:
            raise RunFailedError(
                f"{entry}: the encoded samples cannot be written: {error}. Room in the cache was expected. "
                "Make some, name another with TASKKIT_CACHE=FOLDER, or do without it with loader.cache=false."
            ) from error
        return Encoded.open(entry)


def _chunks(work: _Work, workers: int) -> Iterator[list[tuple[str, list[_Packed]] | _Failure]]:
    # Its own generator leaves torch's alone: a run must not depend on whether its samples were found.
    generator = torch.Generator()
    workers = min(workers, -(-len(work) // _CHUNK))
    try:
        yield from DataLoader(work, _CHUNK, num_workers=workers, collate_fn=list, generator=generator)
    except RuntimeError as error:
        raise RunFailedError(
            f"encoding: a worker process died: {error}. All {workers} were expected to live. Memory may have "
            "run out: try loader.workers=0."
        ) from error


def _found(entry: Path) -> Encoded | None:
    try:
        return Encoded.open(entry) if entry.exists() else None
    except DataError:
        return None


def _read_index(folder: Path) -> Any:
    """The index of an entry, once its files are found to be as it says; raises ValueError."""
    sealed = json.loads((folder / _INDEX).read_text())
    if _hash(sealed["index"].encode()) != sealed["sha256"]:
        raise ValueError(f"{_INDEX} is not what was written")
    index = json.loads(sealed["index"])
    for name, (size, sha256) in index["files"].items():
        path = folder / name
        if path.stat().st_size != size:
            raise ValueError(f"{name} has {path.stat().st_size} bytes and had {size}")
        if sha256 and _hash(path.read_bytes()) != sha256:
            raise ValueError(f"{name} is not what was written")
    return index


def _open_column(folder: Path, number: int, described: Mapping[str, Any], samples: int) -> Column:
    path, dtype = folder / f"{number}.bin", getattr(torch, described["dtype"])
    size = path.stat().st_size // dtype.itemsize
    # Mapped privately: whoever writes into a tensor changes its own memory and never the file.
    # An empty file cannot be mapped.
    values = torch.from_file(str(path), False, size, dtype=dtype) if size else torch.empty(0, dtype=dtype)
    if described["shape"] is not None:
        return Stacked(values.view(samples, *described["shape"]))
    return Ragged(values, np.load(folder / f"{number}.starts.npy"), np.load(folder / f"{number}.shapes.npy"))


def _seal(path: Path) -> tuple[int, str]:
    """Bring a file to the disk; return its size and its hash; fields, which are long, are not hashed."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        sha256 = "" if path.suffix == ".bin" else hashlib.file_digest(file, "sha256").hexdigest()
    return path.stat().st_size, sha256


def _int64(numbers: array[int]) -> NDArray[np.int64]:
    return np.array(numbers, dtype=np.int64)


def _bytes(tensor: Tensor) -> bytes:
    # numpy has no bfloat16, and reshape makes a scalar something that can be seen as bytes.
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _code(cls: type) -> Mapping[str, str] | None:
    """Hashes of the Python files that a class and its bases are made of; None when they cannot be read."""
    hashes: dict[str, str] = {}
    for base in cls.__mro__:
        if base.__module__ == "taskkit.contracts.model" or base.__module__.partition(".")[0] in sys.stdlib_module_names:
            continue
        try:
            source = Path(inspect.getsourcefile(base) or "")
            package = (source.parent / "__init__.py").exists()
            for path in source.parent.glob("*.py") if package else [source]:
                hashes[f"{base.__module__}/{path.name}"] = _hash(path.read_bytes())
        except (OSError, TypeError):
            return None
    return hashes


def _plain(value: Any) -> Any:
    """Give plain data one form in JSON, whatever the order of keys; tensors become their hashes."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return ["mapping", *sorted(([_plain(k), _plain(v)] for k, v in value.items()), key=json.dumps)]
    if isinstance(value, list | tuple):
        return ["list", *map(_plain, value)]
    if isinstance(value, set | frozenset):
        return ["set", *sorted(map(_plain, value), key=json.dumps)]
    if isinstance(value, Tensor):
        return ["tensor", str(value.dtype), list(value.shape), _hash(_bytes(value))]
    if isinstance(value, np.ndarray) and value.dtype != object:
        return ["array", str(value.dtype), list(value.shape), _hash(value.tobytes())]
    if isinstance(value, bytes):
        return ["bytes", _hash(value)]
    if isinstance(value, Path):
        return str(value)
    raise TypeError(
        f"{value!r} is a {type(value).__name__}. A processor's state and section hold plain data: numbers, "
        "text, lists, mappings, tensors."
    )
