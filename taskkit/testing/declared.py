"""conformance.yaml: the recipes by which a plugin is tried, the faults that it finds, and what it is exempt from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path

from packaging.version import InvalidVersion, Version

from taskkit.contracts.recipe import day
from taskkit.contracts.settings import setting
from taskkit.errors import Problem, RecipeError
from taskkit.recipe.coerce import Misfit, to_section
from taskkit.recipe.merge import dotted, file_layer

FILE = "conformance.yaml"


@dataclass
class Fault:
    """A recipe whose data are faulty, and the kind of problem that `inspect` must find in them."""

    finds: str = setting(doc="the kind of the problem: `leak`, `duplicate`, `unreadable`, …")
    recipe: list[str] = setting(doc="the recipe and its changes, as `taskkit run` takes them")


@dataclass
class Exemption:
    """Checks that do not hold, or cannot be made, and why that may be so for now."""

    checks: list[str] = setting(doc="the names of the checks")
    reason: str = setting(doc="why")
    until: str = setting(doc="the day, or the version of the plugin, from which it holds no more")
    of: list[str] = setting(["*"], "recipes, components or the distribution, or patterns of their names")
    only: list[str] = setting([], "what is let pass of the check, as patterns: metrics, parameters; empty: all of it")

    def covers(self, check: str, of: str) -> bool:
        """Whether a check of a thing is meant."""
        return check in self.checks and any(fnmatchcase(of, pattern) for pattern in self.of)

    def expired(self, version: str, today: date) -> bool:
        """Whether it holds no more, for this version of the plugin on this day."""
        last = day(self.until)
        return today >= last if last else Version(version) >= Version(self.until)

    def __str__(self) -> str:
        return f"{self.reason} (until {self.until})"


@dataclass
class Declared:
    """What a plugin says of itself to the kit."""

    recipes: dict[str, list[str]] = setting(
        {}, "by a name: a recipe and its changes, as `taskkit run` takes them; empty: all that the plugin ships"
    )
    faults: list[Fault] = field(default_factory=list, metadata={"doc": "faulty data, and what must be found in them"})
    exempt: list[Exemption] = field(default_factory=list, metadata={"doc": "checks that need not hold for now"})
    tolerance: float = setting(0.05, "how far losses in bf16 and in 32 bits may be apart, as a share", ge=0)

    def exemption(self, check: str, of: str) -> Exemption | None:
        """The first exemption of a check of a thing."""
        return next((each for each in self.exempt if each.covers(check, of)), None)


def read(path: Path, checks: Iterable[str]) -> Declared:
    """Read a conformance.yaml; `checks` are the names that there are. Raises RecipeError with all that is wrong."""
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"cannot be read ({error.strerror}). A {FILE} was expected. Name another, or leave it out."
        raise RecipeError([Problem(str(path), "", message)]) from None
    layer = file_layer(str(path), content, FILE)
    try:
        found: Declared = to_section(Declared, layer.values, (), path.name)
    except Misfit as misfit:
        raise RecipeError(
            [Problem(_where(layer.places, key), dotted(key), message) for key, message in misfit.problems]
        ) from None
    if problems := list(_problems(found, tuple(checks))):
        raise RecipeError([Problem(_where(layer.places, key), dotted(key), message) for key, message in problems])
    return found


def _problems(declared: Declared, checks: Sequence[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    words: list[tuple[tuple[str, ...], list[str]]] = [
        *((("recipes", name), given) for name, given in declared.recipes.items()),
        *((("faults", str(number), "recipe"), each.recipe) for number, each in enumerate(declared.faults)),
    ]
    for key, given in words:
        if not given:
            yield key, f"{dotted(key)} is empty. Expected a recipe and its changes, such as [NAME, optim.lr=1e-2]."
    for number, each in enumerate(declared.exempt):
        at = ("exempt", str(number))
        for unknown in set(each.checks) - set(checks):
            yield (*at, "checks"), f"there is no check {unknown!r}. Expected some of {', '.join(checks)}."
        if not each.reason.strip():
            yield (*at, "reason"), "an exemption without a reason was given. Expected why the check need not hold."
        if day(each.until) is None and not _is_version(each.until):
            yield (
                (*at, "until"),
                f"{each.until!r} is neither a day nor a version. Expected one such as '2027-06-01' or '0.4'.",
            )


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _where(places: Mapping[tuple[str, ...], str], key: tuple[str, ...]) -> str:
    """The place of a key, or of what is around it."""
    while key and key not in places:
        key = key[:-1]
    return places.get(key, "")
