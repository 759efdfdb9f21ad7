"""Plugins that are a file of a project: named by a person, found by no search, and known by what is in them."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from taskkit.contracts.component import PluginInfo
from taskkit.errors import PluginError
from taskkit.plugins.guard import Refused
from taskkit.wording import path_text

VARIABLE = "TASKKIT_PLUGIN_FILES"
"""The environment variable with the paths, by which processes that a run starts find them too."""
DIGITS = 12
"""So much of its hash is the version of a file."""


@dataclass(frozen=True)
class PluginFile:
    """A file, and what was in it when this process first read it: that is what is run and recorded."""

    path: Path
    content: bytes

    @property
    def name(self) -> str:
        """The module that it is imported as."""
        return self.path.stem

    @property
    def sha256(self) -> str:
        """The hash of its content."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def info(self) -> PluginInfo:
        """The plugin: its distribution is the path, its version the beginning of the hash."""
        return PluginInfo(path_text(self.path), self.sha256[:DIGITS], self.name)


def name_files(paths: Sequence[str]) -> None:
    """Let this process and those that it starts use these files as plugins; without one nothing is changed.

    Raises PluginError for a path with the character that separates paths.
    """
    if not paths:
        return
    absolute = [str(Path(path).expanduser().absolute()) for path in paths]
    for path in absolute:
        if os.pathsep in path:
            raise PluginError(f"--plugin {path_text(path)}: a path without {os.pathsep!r} was expected. Rename it.")
    os.environ[VARIABLE] = os.pathsep.join(absolute)
    find_by_name()


def named_files() -> tuple[PluginFile, ...]:
    """The files that were named, read; raises PluginError for one that cannot be a module."""
    paths = list(dict.fromkeys(_paths()))
    for path in paths:
        if twins := [other for other in paths if other.stem == path.stem and other != path]:
            raise PluginError(
                f"--plugin {path_text(path)}: {path_text(twins[0])} has its name too. Files of different names were "
                "expected, since they are imported by these. Rename one."
            )
    return tuple(map(_read, paths))


def load(file: PluginFile) -> ModuleType:
    """Import a file; raises Refused where Python knows another module of its name, and whatever the file raises."""
    found = importlib.util.find_spec(file.name)
    if found is not None and not _is_same(found, file):
        place = found.origin or "Python itself"
        raise Refused("load", f"{file.name} is the name of another module too ({place})", "Rename the file.")
    if file.name in sys.modules:
        return sys.modules[file.name]
    spec = _spec(file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.name] = module
    try:
        _Loader(file).exec_module(module)
    except BaseException:
        del sys.modules[file.name]
        raise
    return module


def find_by_name() -> None:
    """Let `import` find the files in this process, after all that is installed; nothing is read before that."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def _paths() -> list[Path]:
    return [Path(path) for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]


@cache
def _read(path: Path) -> PluginFile:
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise PluginError(
            f"--plugin {path_text(path)}: a Python file was expected, whose name can be imported, such as my_task.py."
        )
    try:
        return PluginFile(path, path.read_bytes())
    except OSError as error:
        raise PluginError(
            f"--plugin {path_text(path)}: it cannot be read ({error.strerror}). A Python file was expected."
        ) from None


def _spec(file: PluginFile) -> ModuleSpec:
    spec = importlib.util.spec_from_file_location(file.name, file.path, loader=_Loader(file))
    assert spec is not None  # a loader was given
    return spec


def _is_same(found: ModuleSpec, file: PluginFile) -> bool:
    """Whether Python finds the file itself, by us or in the working directory of `python -m taskkit`."""
    return found.origin is not None and Path(found.origin).resolve() == file.path.resolve()


class _Loader(SourceLoader):
    """Runs the content that was read and hashed: neither a later one nor bytecode that is kept beside it."""

    def __init__(self, file: PluginFile) -> None:
        self._file = file

    def get_filename(self, fullname: str) -> str:
        return str(self._file.path)

    def get_data(self, path: str | bytes) -> bytes:
        if os.fsdecode(path) != str(self._file.path):
            raise OSError(f"{os.fsdecode(path)} is not kept")
        return self._file.content


class _Finder(MetaPathFinder):
    """Finds the files that were named, by their names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a file of this name."""
        return next((_spec(_read(each)) for each in _paths() if each.stem == fullname), None)
