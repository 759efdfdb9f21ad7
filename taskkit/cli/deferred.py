"""torchmetrics without the libraries that few of its metrics need, which are half of the wait for a process to begin.

torchmetrics imports all of its metrics at once, and some of these import torchvision, transformers and scipy.signal;
its plots import matplotlib. These are placeholders while torchmetrics is imported, and only for it: a name taken from
one is looked up in the real library when it is first used.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

DEFERRED = ("matplotlib", "torchvision", "transformers", "scipy.signal")


class Later:
    """A thing of a module that is imported once the thing is used.

    While torchmetrics is imported, what is taken of it or made by calling it is such a thing too; whether it is true
    nobody can say then.
    """

    def __init__(self, while_: Importing, real: Callable[[], Any]) -> None:
        self._while, self._real = while_, cache(real)

    def real(self) -> Any:
        """The thing itself."""
        return self._real()

    def __getattr__(self, name: str) -> Any:
        if not self._while.goes_on:
            return getattr(self.real(), name)
        if name.startswith("__"):
            raise AttributeError(name)
        return Later(self._while, lambda: getattr(self.real(), name))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it."""
        if not self._while.goes_on:
            return self.real()(*args, **kwargs)
        return Later(self._while, lambda: self.real()(*args, **kwargs))

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self.real())

    def __subclasscheck__(self, subclass: Any) -> bool:
        return issubclass(subclass, self.real())

    def __bool__(self) -> bool:
        if self._while.goes_on:
            raise TypeError("it is not imported yet")
        return bool(self.real())


@dataclass
class Importing:
    """An import of torchmetrics."""

    goes_on: bool = True


class _Placeholder(ModuleType):
    def __init__(self, name: str, while_: Importing) -> None:
        super().__init__(name)
        self._while = while_

    def __getattr__(self, name: str) -> Later:
        if name.startswith("__"):
            raise AttributeError(name)
        return Later(self._while, partial(_named, self.__name__, name))


def _named(module: str, name: str) -> Any:
    """A name of a module, or a module in it."""
    found = importlib.import_module(module)
    return getattr(found, name) if hasattr(found, name) else importlib.import_module(f"{module}.{name}")


class _Placeholders(MetaPathFinder, Loader):
    """Finds placeholders, for the thread that made it."""

    def __init__(self, names: Sequence[str]) -> None:
        self.importing = Importing()
        self._names, self._thread = names, threading.get_ident()

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        asked = any(name == deferred or name.startswith(f"{deferred}.") for deferred in self._names)
        if not asked or threading.get_ident() != self._thread:
            return None
        return ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Placeholder(spec.name, self.importing)

    def exec_module(self, module: ModuleType) -> None:
        pass


class _Torchmetrics(MetaPathFinder, Loader):
    """Imports torchmetrics among placeholders, or as always where it does not stand them."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == "torchmetrics" else None
        if spec is None or spec.loader is None:
            return None
        self._loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        before = dict(vars(module))
        try:
            with _placeholders():
                self._loader.exec_module(module)
        except Exception:
            for name in [name for name in sys.modules if name.startswith("torchmetrics.")]:
                del sys.modules[name]
            vars(module).clear()
            vars(module).update(before)
            self._loader.exec_module(module)


@contextmanager
def _placeholders() -> Iterator[None]:
    finder = _Placeholders([name for name in DEFERRED if name not in sys.modules and _can_wait(name)])
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        finder.importing.goes_on = False
        for name, module in list(sys.modules.items()):
            if isinstance(module, _Placeholder):
                del sys.modules[name]
                # An import writes a module into the one that it lies in too.
                package, _, last = name.rpartition(".")
                vars(sys.modules.get(package, module)).pop(last, None)


def _can_wait(name: str) -> bool:
    # torchmetrics mends scipy.signal for this one package.
    return name != "scipy.signal" or importlib.util.find_spec("gammatone") is None


@contextmanager
def deferred() -> Iterator[None]:
    """Import torchmetrics, where an import inside asks for it, without what few of its metrics need."""
    finder = _Torchmetrics()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
