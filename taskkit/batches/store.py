"""The store of encoded samples: memory maps, found again by everything that decided them."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from taskkit.batches.code import code_of
from taskkit.batches.entries import ABOUT, INDEX, mark_used
from taskkit.batches.ids import GrowingIds, Ids
from taskkit.cachedir import HELD, Hold, file_sha256, hold
from taskkit.contracts.facts import Fact, flag_words, is_flag
from taskkit.errors import DataError
from taskkit.wording import without_stop

if TYPE_CHECKING:
    from taskkit.contracts.model import Processor, Sample

_FORMAT = 3
"""Changes whenever the files of an entry do, or what the host does when it encodes."""
IDS = ("ids", "ends_of_ids")
"""The tables of an entry that hold the ids of its examples."""


def key(fingerprint: str, split: str, target: Fact, processor: Processor, section: Mapping[str, Any]) -> str | None:
    """Name the samples of a split by everything that decides them, so that they are found again by that alone.

    `fingerprint` and `target` are those of the DataSpec. Of the processor count its class, its code, the packages that
    this code imports, its settings, and its state but `network_state`; where it states no settings, the whole `section`
    of its model. None when the code cannot be read, as in a bare interpreter, where nothing vouches for samples kept
    from another time.
    Raises TypeError when the state, the settings or the section are not plain data.
    """
    code = code_of(type(processor))
    if code is None:
        return None
    settings = processor.settings()
    facts = {
        "format": [_FORMAT, sys.byteorder],
        "data": [fingerprint, split, target.reference()],
        "processor": [class_name(processor), code.files],
        "packages": code.packages,
        "state": {k: v for k, v in processor.state_dict().items() if k not in processor.network_state},
        "settings": ["of the model", section] if settings is None else ["of the processor", settings],
    }
    return _hash(json.dumps(_plain(facts)).encode())


def class_name(processor: Processor) -> str:
    """The class of a processor, as `package.module:Name`."""
    return f"{type(processor).__module__}:{type(processor).__qualname__}"


class Encoded(Dataset["Sample"]):
    """The samples of a split, in order; a copy for another process opens the memory map there again."""

    def __init__(
        self,
        columns: Mapping[str, Column],
        example_of: NDArray[np.int64],
        lengths: NDArray[np.int64],
        ids: Sequence[str],
        folder: Path | None = None,
        held: Hold | None = None,
    ) -> None:
        self.columns = columns
        """The tensors of all samples, by their names."""
        self._folder = folder
        self._held = held
        self.example_of = example_of
        """For each sample the number of its example, in order."""
        self.lengths = lengths
        """For each sample its `Processor.length`."""
        self.ids = ids
        """For each example its id."""

    @classmethod
    def open(cls, folder: Path) -> Encoded:
        """Open an entry of the store, which nobody removes meanwhile; raises DataError when it is not whole."""
        try:
            held = hold(folder)
            index = _read_index(folder)
            tables = {name: np.load(folder / f"{name}.npy") for name in ("example_of", "lengths", *IDS)}
            columns = {
                f["name"]: _open_column(folder, number, f, index["samples"]) for number, f in enumerate(index["fields"])
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{folder}: the encoded samples are damaged: {without_stop(str(error))}. Remove the folder to "
                "encode them again."
            ) from error
        mark_used(folder)
        ids = Ids(*(tables[name] for name in IDS))
        return cls(columns, tables["example_of"], tables["lengths"], ids, folder, held)

    def __len__(self) -> int:
        return len(self.example_of)

    def __getitem__(self, number: int) -> Sample:
        if not -len(self) <= number < len(self):
            raise IndexError(f"sample {number} of {len(self)}")
        values = ((name, column[number]) for name, column in self.columns.items())
        return {name: value for name, value in values if value is not None}

    def __reduce__(self) -> tuple[Any, ...]:
        if self._folder is not None:
            return Encoded.open, (self._folder,)
        return Encoded, (self.columns, self.example_of, self.lengths, self.ids)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the tensors that any sample has."""
        return tuple(self.columns)

    @property
    def windowed(self) -> bool:
        """Whether an example gave several samples."""
        return len(self.ids) < len(self)

    def flagged(self) -> Mapping[str, list[str]]:
        """The ids of the examples of which a sample is marked, by what a person is told of it."""
        found: dict[str, list[str]] = {}
        for name, column in self.columns.items():
            if is_flag(name):
                marked = np.unique(self.example_of[column.set_in()])
                found[flag_words(name)] = [self.ids[number] for number in marked.tolist()]
        return {flag: ids for flag, ids in found.items() if ids}

    @property
    def nbytes(self) -> int:
        """The size of all tensors together."""
        return sum(column.values.nbytes for column in self.columns.values())

    def column(self, name: str) -> Tensor | None:
        """One field of all samples, (samples, …), without a copy; None unless all have it in one shape."""
        column = self.columns.get(name)
        return column.values if isinstance(column, Stacked) else None


@dataclass(frozen=True)
class Stacked:
    """A field that all samples have in one shape."""

    values: Tensor
    """Of shape (samples, …)."""

    def __getitem__(self, number: int) -> Tensor:
        # A view would take the whole field along to another process.
        return self.values[number].clone()

    def set_in(self) -> NDArray[np.int64]:
        """The samples in which a scalar is not zero."""
        return np.flatnonzero(self.values.numpy())


@dataclass(frozen=True)
class Ragged:
    """A field whose shape differs from sample to sample, or that some samples lack."""

    values: Tensor
    """The elements of all samples, one sample after another."""
    starts: NDArray[np.int64]
    """For each sample its first element; -1 when it lacks the field."""
    shapes: NDArray[np.int64]
    """For each sample its shape, filled up with -1 at the end."""

    @property
    def is_of_lists(self) -> bool:
        """Whether all samples have it, in one dimension."""
        return self.shapes.shape[1] == 1 and bool((self.shapes >= 0).all())

    def __getitem__(self, number: int) -> Tensor | None:
        start = int(self.starts[number])
        if start < 0:
            return None
        shape = [size for size in self.shapes[number].tolist() if size >= 0]
        return self.values[start : start + prod(shape)].view(shape).clone()

    def set_in(self) -> NDArray[np.int64]:
        """The samples in which a scalar is there and not zero."""
        there = np.flatnonzero(self.starts >= 0)
        return there[np.flatnonzero(self.values.numpy()[self.starts[there]])]


Column = Stacked | Ragged


class PackedSample(NamedTuple):
    """A sample on its way from the process that encoded it: the dtype, shape and bytes of each tensor."""

    length: int
    tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]]

    @classmethod
    def of(cls, sample: Sample, length: int) -> PackedSample:
        """Pack a sample."""
        return cls(
            int(length),
            {
                name: (str(value.dtype).removeprefix("torch."), tuple(value.shape), tensor_bytes(value))
                for name, value in sample.items()
            },
        )

    def unpacked(self) -> Sample:
        """The sample again."""
        return {
            name: torch.frombuffer(bytearray(content), dtype=getattr(torch, dtype)).reshape(shape)
            if content
            else torch.empty(shape, dtype=getattr(torch, dtype))
            for name, (dtype, shape, content) in self.tensors.items()
        }


class _Field:
    """One field while it is written: its bytes, and the shapes of the samples that have it."""

    def __init__(self, name: str, dtype: str, file: IO[bytes]) -> None:
        self.name = name
        self.dtype = dtype
        self.file = file
        self.owners = array("q")
        self.shapes: list[tuple[int, ...]] = []
        self._same: dict[tuple[int, ...], tuple[int, ...]] = {}

    def add(self, owner: int, shape: tuple[int, ...], content: bytes) -> None:
        """Append that of a sample; of equal shapes one is kept."""
        self.shapes.append(self._same.setdefault(shape, shape))
        self.owners.append(owner)
        self.file.write(content)

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


class Writer:
    """Makes packed samples an entry of the store in a folder, or, without one, in memory."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.fields: dict[str, _Field] = {}
        self.example_of = array("q")
        self.lengths = array("q")
        self.ids = GrowingIds()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *error: object) -> None:
        for written in self.fields.values():
            written.file.close()

    def add(self, example: str, samples: Sequence[PackedSample]) -> None:
        """Append the samples of the example with this id; raises DataError when they do not go with those before."""
        number = len(self.ids)
        self.ids.add(example)
        for sample in samples:
            for name, (dtype, shape, content) in sample.tensors.items():
                self._field(example, name, dtype).add(len(self.lengths), shape, content)
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
        """The samples in memory; raises DataError where two examples have one id."""
        samples = len(self.lengths)
        columns: dict[str, Column] = {}
        for name, made in self.fields.items():
            assert isinstance(made.file, BytesIO)
            buffer, dtype, shape = made.file.getbuffer(), getattr(torch, made.dtype), made.shape(samples)
            values = torch.frombuffer(buffer, dtype=dtype) if buffer.nbytes else torch.empty(0, dtype=dtype)
            stacked = None if shape is None else Stacked(values.view(samples, *shape))
            columns[name] = stacked or Ragged(values, *made.tables(samples))
        return Encoded(columns, _int64(self.example_of), _int64(self.lengths), self.ids.whole())

    def save(self, about: Mapping[str, Any]) -> None:
        """Finish the folder: the tables, what they are `about`, and the index with sizes and hashes of all files.

        Raises DataError where two examples have one id.
        """
        assert self.folder is not None
        samples = len(self.lengths)
        ids = self.ids.whole()
        tables: dict[str, NDArray[Any]] = {"example_of": _int64(self.example_of), "lengths": _int64(self.lengths)}
        tables |= dict(zip(IDS, (ids.text, ids.ends), strict=True))
        for number, made in enumerate(self.fields.values()):
            made.file.close()
            if made.shape(samples) is None:
                tables[f"{number}.starts"], tables[f"{number}.shapes"] = made.tables(samples)
        for name, table in tables.items():
            np.save(self.folder / f"{name}.npy", table)
        self._describe(about)
        (self.folder / HELD).touch()
        files = {path.name: _seal(path) for path in sorted(self.folder.iterdir())}
        fields = [{"name": f.name, "dtype": f.dtype, "shape": f.shape(samples)} for f in self.fields.values()]
        index = {"samples": samples, "fields": fields, "files": files}
        text = json.dumps(index)
        (self.folder / INDEX).write_text(json.dumps({"sha256": _hash(text.encode()), "index": text}))
        _seal(self.folder / INDEX)

    def _describe(self, about: Mapping[str, Any]) -> None:
        assert self.folder is not None
        facts = {
            **about,
            "examples": len(self.ids),
            "samples": len(self.lengths),
            "size": sum(path.stat().st_size for path in self.folder.iterdir()),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        (self.folder / ABOUT).write_text(json.dumps(facts, indent=1))


def _read_index(folder: Path) -> Any:
    """The index of an entry, once its files are found to be as it says; raises ValueError."""
    sealed = json.loads((folder / INDEX).read_text())
    if _hash(sealed["index"].encode()) != sealed["sha256"]:
        raise ValueError(f"{INDEX} is not what was written")
    index = json.loads(sealed["index"])
    for name, (size, sha256) in index["files"].items():
        path = folder / name
        if path.stat().st_size != size:
            raise ValueError(f"{name} has {path.stat().st_size} bytes and had {size}")
        if sha256 and file_sha256(path) != sha256:
            raise ValueError(f"{name} is not what was written")
    return index


def _open_column(folder: Path, number: int, described: Mapping[str, Any], samples: int) -> Column:
    path, dtype = folder / f"{number}.bin", getattr(torch, described["dtype"])
    size = path.stat().st_size // dtype.itemsize
    values = _mapped(path, dtype) if size else torch.empty(0, dtype=dtype)  # An empty file cannot be mapped.
    if described["shape"] is not None:
        return Stacked(values.view(samples, *described["shape"]))
    return Ragged(values, np.load(folder / f"{number}.starts.npy"), np.load(folder / f"{number}.shapes.npy"))


def _mapped(path: Path, dtype: torch.dtype) -> Tensor:
    """A file as a tensor; whoever writes into it changes memory of their own and never the file."""
    # torch.from_file does the same, and takes no path that is not UTF-8.
    with path.open("rb") as file:
        return torch.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), dtype=dtype)


def _seal(path: Path) -> tuple[int, str]:
    """Bring a file to the disk; return its size and its hash; fields, which are long, are not hashed."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return path.stat().st_size, "" if path.suffix == ".bin" else file_sha256(path)


def _int64(numbers: array[int]) -> NDArray[np.int64]:
    return np.array(numbers, dtype=np.int64)


def tensor_bytes(tensor: Tensor) -> bytes:
    """The bytes of a tensor of any type, in order."""
    if not tensor.numel():
        return b""  # NumPy gives such a tensor strides by which it cannot be seen as bytes
    try:
        return tensor.numpy(force=True).tobytes()
    except TypeError:  # NumPy has no bfloat16, and reshape makes a scalar something that can be seen as bytes.
        return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


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
        return ["tensor", str(value.dtype), list(value.shape), _hash(tensor_bytes(value))]
    if isinstance(value, np.ndarray) and value.dtype != object:
        return ["array", str(value.dtype), list(value.shape), _hash(value.tobytes())]
    if isinstance(value, bytes):
        return ["bytes", _hash(value)]
    if isinstance(value, Path):
        return str(value)
    raise TypeError(
        f"{value!r} is a {type(value).__name__}. A processor's state and settings hold plain data: numbers, "
        "text, lists, mappings, tensors."
    )
