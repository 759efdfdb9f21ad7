"""How what others rely on goes: it is announced for some versions, warns where it is used, and is then removed."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T", bound=Callable[..., Any])

_told: set[str] = set()
"""What this process has warned of."""


@dataclass(frozen=True)
class deprecated:  # noqa: N801 - it is used as a decorator
    """That something will go: since which version that is announced, with which it goes, and what to use instead.

    As a decorator of a function, a method or a class it warns where that is called, once a process; as
    `setting(deprecated=…)` a recipe that gives the setting is told. The warning is a FutureWarning, since Python hides
    a DeprecationWarning from those who run a recipe.
    """

    since: str
    until: str
    instead: str

    def __call__(self, thing: T) -> T:
        """Let a function, a method or a class warn; a class does where one of it, or of a subclass, is made."""
        said = self.words(thing.__qualname__)
        if isinstance(thing, type):
            thing.__init__ = _warning(thing.__init__, said)  # type: ignore[misc]
            marked: Any = thing
        else:
            marked = _warning(thing, said)
        marked.__deprecated__ = said  # PEP 702: type checkers and editors know the name.
        marked.__deprecation__ = self
        return marked  # type: ignore[no-any-return]

    def words(self, what: str) -> str:
        """The announcement, as a sentence."""
        return f"{what} is deprecated since {self.since} and goes with {self.until}. Use {self.instead}."

    def warning(self, what: str) -> FutureWarning:
        """The announcement as a warning, for an argument of a hook: `hookspec(warn_on_impl_args={…})`."""
        return FutureWarning(self.words(what))


def _warning(function: Callable[..., Any], said: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def warns(*arguments: Any, **named: Any) -> Any:
        if said not in _told:
            _told.add(said)
            warnings.warn(said, FutureWarning, stacklevel=2)
        return function(*arguments, **named)

    return warns


@dataclass(frozen=True)
class Retired:
    """Something public that is gone, as tests/public.txt named it."""

    what: str
    announced: deprecated


RETIRED: tuple[Retired, ...] = ()
"""What is gone since 0.2, the latest first: a test lets nothing public go that is not here."""
