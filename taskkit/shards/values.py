"""Raw examples as JSON and files, and made again of the plain types and dataclasses that they are of."""

from __future__ import annotations

import io
import os
import tempfile
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from taskkit.contracts.facts import Example
from taskkit.errors import DataError

Add = Callable[[str, "bytes | Path"], str]
"""Keeps a file by how its name ends, its content or where it lies, and gives the name that it is found by."""
Take = Callable[[str], bytes]
"""Gives the content of a file by its name."""

_EXPECTED = (
    "None, a bool, a number, a text, bytes, a list, tuple or mapping, an array of numbers, a Path of a file, or a "
    "dataclass of the plugin made of these"
)


class HeldFile(type(Path())):  # type: ignore[misc]
    """The path of a file that is there for as long as this very object."""

    @classmethod
    def of(cls, content: bytes, suffix: str) -> HeldFile:
        """Write a file whose name ends so."""
        number, name = tempfile.mkstemp(suffix, "taskkit-")
        path = cls(name)
        weakref.finalize(path, _remove, name)
        with os.fdopen(number, "wb") as file:
            file.write(content)
        return path


def _remove(name: str) -> None:
    with suppress(OSError):
        os.unlink(name)  # noqa: PTH108 - a Path would be another object to keep


class Types:
    """Finds the dataclasses of examples in the packages that are given, and in no other."""

    def __init__(self, *packages: str) -> None:
        self.packages = {package.partition(".")[0] for package in packages}
        self._found: dict[str, type] = {}

    def __call__(self, reference: str) -> type:
        """The dataclass of a reference `package.module:Name`; raises DataError where there is none."""
        if reference not in self._found:
            self._found[reference] = self._find(reference)
        return self._found[reference]

    def _find(self, reference: str) -> type:
        module, _, name = reference.partition(":")
        found: Any = None
        if module.partition(".")[0] in self.packages:
            with suppress(ImportError, AttributeError):
                found = import_module(module)
                for part in name.split("."):
                    found = getattr(found, part)
        if not (isinstance(found, type) and is_dataclass(found)):
            raise DataError(
                f"it is of the type {reference}. A dataclass of {' or '.join(sorted(self.packages))} was expected. "
                "Install the version of the plugin that the examples were packed with."
            )
        return found


def to_document(example: Example, add: Add, types: Types) -> dict[str, Any]:
    """An example as what JSON can write, with its files added; raises DataError for a value that cannot be kept."""
    if example.fault:
        raise DataError(example.fault)
    whole = {"id": example.id, "input": example.input, "target": example.target}
    whole |= {"group": example.group} if example.group is not None else {}
    whole |= {"columns": dict(example.columns)} if example.columns else {}
    return {name: _packed(value, add, types) for name, value in whole.items()}


def from_document(document: Mapping[str, Any], take: Take, types: Types) -> Example:
    """The example again."""
    return Example(**{name: _unpacked(value, take, types) for name, value in document.items()})


def _packed(value: Any, add: Add, types: Types) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Path):
        return {"$file": add(value.suffix, value)}
    if type(value) is bytes:
        return {"$bytes": add(".bin", value)}
    if isinstance(value, np.generic):
        return {"$scalar": add(".npy", _array(np.asarray(value)))}
    if type(value) is np.ndarray:
        return {"$array": add(".npy", _array(value))}
    if type(value) is torch.Tensor:
        return {"$tensor": add(".npy", _array(_numpy(value)))}
    if type(value) is list:
        return [_packed(each, add, types) for each in value]
    if type(value) is tuple:
        return {"$tuple": [_packed(each, add, types) for each in value]}
    if type(value) is dict:
        if all(type(name) is str and not name.startswith("$") for name in value):
            return {name: _packed(each, add, types) for name, each in value.items()}
        return {"$mapping": [[_packed(part, add, types) for part in item] for item in value.items()]}
    if is_dataclass(value) and not isinstance(value, type):
        return _packed_dataclass(value, add, types)
    raise DataError(f"it holds a {type(value).__name__}. Expected {_EXPECTED}. Make one of it in the data module.")


def _packed_dataclass(value: Any, add: Add, types: Types) -> Any:
    kind: type[Any] = type(value)
    reference = f"{kind.__module__}:{kind.__qualname__}"
    if types(reference) is not kind:
        raise DataError(f"it holds a {reference}, and another class is there. Expected {_EXPECTED}.")
    content = {each.name: _packed(getattr(value, each.name), add, types) for each in fields(value) if each.init}
    return {"$type": reference, "fields": content}


def _unpacked(value: Any, take: Take, types: Types) -> Any:
    if isinstance(value, list):
        return [_unpacked(each, take, types) for each in value]
    if not isinstance(value, dict):
        return value
    if "$type" in value:
        content = {name: _unpacked(each, take, types) for name, each in value["fields"].items()}
        return types(value["$type"])(**content)
    kind: str = next(iter(value), "")
    inside: Any = value.get(kind)
    match kind:
        case "$file":
            return HeldFile.of(take(inside), os.path.splitext(inside)[1])  # noqa: PTH122 - a name in a tar
        case "$bytes":
            return take(inside)
        case "$scalar":
            return _loaded(take(inside))[()]
        case "$array":
            return _loaded(take(inside))
        case "$tensor":
            return torch.from_numpy(_loaded(take(inside)))
        case "$tuple":
            return tuple(_unpacked(each, take, types) for each in inside)
        case "$mapping":
            return {_unpacked(name, take, types): _unpacked(each, take, types) for name, each in inside}
    return {name: _unpacked(each, take, types) for name, each in value.items()}


def _numpy(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    try:
        return tensor.numpy()
    except (TypeError, RuntimeError) as error:
        raise DataError(f"it holds a tensor that is no array ({error}). Expected {_EXPECTED}.") from None


def _array(array: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    try:
        np.save(file, array, allow_pickle=False)
    except ValueError:
        raise DataError(f"it holds an array of objects. Expected {_EXPECTED}.") from None
    return file.getvalue()


def _loaded(content: bytes) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = np.load(io.BytesIO(content), allow_pickle=False)
    return array
