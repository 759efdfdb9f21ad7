"""What a plugin's code raises becomes a reported problem: never a crash, nor another plugin's trouble."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any, Literal

from pluggy import PluginManager

from taskkit.contracts.component import PluginInfo
from taskkit.plugins.origin import remedy
from taskkit.wording import without_stop

Stage = Literal["metadata", "allow", "clash", "load", "api", "register", "hooks", "call"]
"""Where discovery stopped: reading the package's metadata, the allow-list, a name that is claimed twice, importing, the
range of `taskkit_api`, registering, the names of the hooks, or what they gave when called."""


@dataclass(frozen=True)
class PluginProblem:
    """Why a plugin, or one thing that it declares, cannot be used, and what to do."""

    distribution: str
    version: str
    entry_point: str
    stage: Stage
    reason: str
    hint: str

    @property
    def plugin(self) -> PluginInfo:
        """The plugin concerned."""
        return PluginInfo(self.distribution, self.version, self.entry_point)

    def __str__(self) -> str:
        return f"{self.plugin} failed to load ({self.reason}).\n  {self.hint}"


class Refused(Exception):
    """A plugin that cannot be let in, or one thing of it."""

    def __init__(self, stage: Stage, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.stage, self.reason, self.hint = stage, reason, hint

    def problem(self, info: PluginInfo) -> PluginProblem:
        """The same as a value, of this plugin."""
        hint = self.hint or remedy(info.distribution)
        return PluginProblem(info.distribution, info.version, info.entry_point, self.stage, self.reason, hint)


@contextlib.contextmanager
def guard(stage: Stage, where: str = "") -> Iterator[None]:
    """Turn whatever a plugin's code raises, and its attempts to leave, into Refused."""
    try:
        yield
    except Refused:
        raise
    except (Exception, SystemExit) as error:
        message = without_stop(str(error))
        reason = f"{where}{type(error).__name__}{': ' if message else ''}{message}{_place(error)}"
        raise Refused(stage, reason, install_hint(error)) from error


_HOST = Path(__file__).parents[1]


def _place(error: BaseException) -> str:
    """Which line of a plugin's own package raised, in words; nothing where none did, or where the error names it."""
    frames = [] if isinstance(error, SyntaxError) else traceback.extract_tb(error.__traceback__)
    files = [(Path(frame.filename), frame.lineno) for frame in frames if not frame.filename.startswith("<")]
    theirs = [(path, line) for path, line in files if not (path.is_relative_to(_HOST) or _CALLERS & {*path.parts})]
    # What a plugin calls may raise: its own last line is what its author can change.
    own = [(path, line) for path, line in theirs if _package(path) == _package(theirs[0][0])]
    return f", in {own[-1][0].name}, line {own[-1][1]}" if own else ""


_CALLERS = {"importlib", "pluggy"}
"""Folders of code by which plugins are imported and called."""


def _package(path: Path) -> Path:
    """The outermost package that a file is in, else the file."""
    while (path.parent / "__init__.py").exists():
        path = path.parent
    return path


def install_hint(error: BaseException) -> str:
    """What to install when a module is missing; nothing when it is only a part of something installed.

    Modules and the distributions that bring them may differ in name, so no command is made of it.
    """
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    package = error.name.partition(".")[0]
    return "" if util.find_spec(package) else f"Install the distribution that brings the module {package!r}."


def call(manager: PluginManager, hook: str, **arguments: Any) -> list[Any]:
    """Everything that one plugin gives for a hook; raises Refused."""
    caller = getattr(manager.hook, hook)
    given: list[Any] = []
    with guard("call", f"{hook}: "):
        results = caller(**arguments)
        if caller.get_hookimpls() and not results:
            raise Refused("call", f"{hook} returned None, expected an iterable")
        for result in results:
            if isinstance(result, str | bytes) or not isinstance(result, Iterable):
                raise Refused("call", f"{hook} returned {result!r:.80}, expected an iterable")
            given += result
    return given
