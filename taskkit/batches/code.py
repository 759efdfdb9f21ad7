"""The code that a class is made of: hashes of its own files, and the versions of the packages that these import."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from taskkit.cachedir import file_sha256
from taskkit.plugins.installed import providers

_CONTRACT = "taskkit.contracts.model"
"""The base class of processors decides no sample: the store's own format stands for the host."""

Files = dict[str, Path]
"""Python files by names that are the same on every machine."""


class Code(NamedTuple):
    """What a class is made of, apart from the host and the standard library."""

    files: Mapping[str, str]
    """The hash of each Python file of its package, and of imported packages that are edited where they lie."""
    packages: Mapping[str, str]
    """The versions of the packages that those files import; empty for one that is not installed."""


def code_of(cls: type) -> Code | None:
    """The code of a class and its bases; None when it cannot be read.

    It follows from what is installed, never from what this process happens to have imported by now.
    """
    own = _top(cls.__module__)
    bases = [base for base in cls.__mro__ if base.__module__ != _CONTRACT and not _is_stdlib(base.__module__)]
    files, packages = Files(), dict[str, str]()
    try:
        for base in bases:
            files |= _files_of_class(base, whole=_top(base.__module__) == own)
        whole = {"taskkit", *(name.partition("/")[0] for name in files)}
        # numpy and torch write tables and tensors, whatever a processor imports.
        names = {"numpy", "torch", *(_top(base.__module__) for base in bases), *_imports_of(files)}
        while new := {name for name in names - whole - packages.keys() if not _is_stdlib(name)}:
            for name in new:
                packages[name], local = _package(name)
                files |= local
                names |= _imports_of(local)
        return Code({name: _hash(*_stamp(path)) for name, path in files.items()}, packages)
    except (OSError, TypeError):
        return None


def _files_of_class(cls: type, whole: bool) -> Files:
    """The file of a class with those beside it in its package, or with the `whole` of its outermost package."""
    source = Path(inspect.getfile(cls))
    package = source.parent
    if not (package / "__init__.py").exists():
        return {f"{cls.__module__}/{source.name}": source}
    if not whole:
        return {f"{cls.__module__}/{path.name}": path for path in package.glob("*.py")}
    while (package.parent / "__init__.py").exists():
        package = package.parent
    return _files_in(package, package.name)


def _files_in(package: Path, name: str) -> Files:
    """Those of a package and of the packages in it."""
    files = {f"{name}/{path.name}": path for path in package.glob("*.py")}
    for inner in package.glob("*/__init__.py"):
        files |= _files_in(inner.parent, f"{name}/{inner.parent.name}")
    return files


def _package(name: str) -> tuple[str, Files]:
    """The version of an installed package, else the files of one that is edited where it lies; neither: not there."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return "", {}
    places = [Path(place) for place in spec.submodule_search_locations or [spec.origin or ""]]
    owners = map(_distribution, sorted(set(_distributions().get(name, ()))))
    if versions := [f"{owner.name} {owner.version}" for owner in owners if owner and _lies_in(owner, places[0])]:
        return ", ".join(versions), {}
    files = Files()
    for place in places:
        files |= _files_in(place, name) if place.is_dir() else {f"{name}/{place.name}": place}
    return "", files


@cache
def _distributions() -> Mapping[str, list[str]]:
    return providers()


def _distribution(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:  # Gone since they were listed, as from a notebook's path.
        return None


def _lies_in(owner: metadata.Distribution, place: Path) -> bool:
    """Whether files lie where a distribution was installed; those of an editable one lie elsewhere.

    Asked of the paths as they stand first: some installers link packages from a store of their own.
    """
    home = Path(str(owner.locate_file("")))
    return place.is_relative_to(home) or place.resolve().is_relative_to(home.resolve())


def _imports_of(files: Files) -> set[str]:
    return set().union(*(_imports(*_stamp(path)) for path in files.values()))


def _stamp(path: Path) -> tuple[Path, int, int]:
    """What a file's content is remembered by in this process: each split of a run needs the same files."""
    status = path.stat()
    return path, status.st_mtime_ns, status.st_size


@cache
def _hash(path: Path, modified: int, size: int) -> str:
    return file_sha256(path)


@cache
def _imports(path: Path, modified: int, size: int) -> frozenset[str]:
    """The outermost names of all modules that a file imports, anywhere in it."""
    try:
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
    except (SyntaxError, ValueError):
        return frozenset()  # such as a template, which nobody imports
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    others = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return frozenset(map(_top, plain | others))


def _top(module: str) -> str:
    return module.partition(".")[0]


def _is_stdlib(module: str) -> bool:
    return _top(module) in sys.stdlib_module_names
