"""The public surface, frozen: names, fields, methods, hooks, settings and components, as they stand in public.txt.

A change of it is a change for everybody who published a plugin or wrote a recipe. Where it is meant, write the file
anew with `python tests/test_public.py` and say so in CHANGELOG.md. Nothing goes that was not announced: first
`taskkit.deprecated`, then an entry in RETIRED of taskkit/contracts/deprecation.py.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import pytest
from packaging.version import Version

import taskkit
import taskkit.testing
from taskkit import deprecated
from taskkit.contracts import hookspecs
from taskkit.contracts.deprecation import RETIRED, Retired
from taskkit.contracts.recipe import SECTIONS, root_settings
from taskkit.contracts.settings import Setting, settings, to_plain
from taskkit.plugins.compatibility import section_of
from taskkit.plugins.discovery import discover

FROZEN = Path(__file__).with_name("public.txt")
OURS = ("taskkit-image", "taskkit-recsys", "taskkit-speech", "taskkit-text")


def surface() -> Iterator[str]:
    """A line for each public name and member, for each argument of a hook, each setting, component and metric."""
    for name in sorted(taskkit.__all__, key=str.lower):
        for line in _described(name, getattr(taskkit, name)):
            yield re.sub(r"<(\S+) object at \w+>", r"\1", line)
    for name in taskkit.testing.__all__:
        yield from (f"testing.{line}" for line in _described(name, getattr(taskkit.testing, name)))
    for name, hook in hookspecs.hooks().items():
        yield f"hook {name}{inspect.signature(hook)}"
    yield from _settings("", root_settings())
    for name, section in SECTIONS.items():
        yield from _settings(f"{name}.", settings(section))
    plugins = discover(OURS)
    for component in plugins.components:
        facts = ", ".join(component.targets)
        yield f"{component.kind} {component.name}: {component.input or 'any'} -> {facts}"
        for metric, direction in component.metrics.items():
            yield f"    metric {component.name} {metric}: {direction}"
        yield from _settings(f"{component.name}.", settings(section_of(component, plugins.owner(component))))


def _settings(where: str, found: Iterable[Setting]) -> Iterator[str]:
    for each in found:
        default = "required" if each.required else repr(to_plain(each.default))
        kind = each.type.__name__ if isinstance(each.type, type) and not get_args(each.type) else str(each.type)
        yield f"    setting {where}{each.name}: {kind.replace('typing.', '')} = {default}"


def subjects(lines: Iterable[str]) -> set[str]:
    """What each line promises: a name, and each argument of a function or a hook; not its type, nor its default."""
    found: set[str] = set()
    for line in map(str.strip, lines):
        name = re.match(r"(class |hook |task |model |data |setting |metric \S+ |abstract )*[^\s:(]+", line)
        assert name is not None, line
        found.add(what := name[0].replace("abstract ", ""))
        if not line.startswith("class "):
            plain = re.sub(r"'[^']*'", "", line[name.end() :]) if line[name.end() :].startswith("(") else ""
            found |= {f"{what}({argument})" for argument in re.findall(r"[(,] ?\*{0,2}(\w+)(?=[:,)= ])", plain)}
    return found - {each for each in found if each.endswith("(self)") or each.endswith("(cls)")}


def gone(before: Iterable[str], after: Iterable[str], retired: Iterable[Retired]) -> list[str]:
    """What was promised, is no longer there and was never announced."""
    announced = {each.what for each in retired}
    lost = subjects(before) - subjects(after)
    # With a class its members are gone, and with a function its arguments.
    return sorted(each for each in lost if not any(each == what or _is_of(each, what) for what in announced))


def _is_of(part: str, whole: str) -> bool:
    return any(
        part.startswith(f"{kind}{whole.removeprefix('class ')}{mark}") for kind in ("", "setting ") for mark in ".("
    )


def _described(name: str, thing: Any) -> Iterator[str]:
    if not inspect.isclass(thing):
        yield f"{name}{inspect.signature(thing)}" if inspect.isfunction(thing) else f"{name}: {type(thing).__name__}"
        return
    bases = ", ".join(base.__name__ for base in thing.__bases__ if base is not object)
    yield f"class {name}({bases})"
    fields = {field.name: field for field in dataclasses.fields(thing)} if dataclasses.is_dataclass(thing) else {}
    for each in fields.values():
        yield f"    {name}.{each.name}: {each.type}"
    # What it has of a class of ours that is not public itself is promised as its own.
    own = [each for each in thing.__mro__[:0:-1] if each.__module__.startswith("taskkit.")]
    members = {
        name: value for each in own if each.__name__ not in taskkit.__all__ for name, value in vars(each).items()
    }
    for member, value in sorted({**members, **vars(thing)}.items()):
        if (not member.startswith("_") or member == "__init__") and member not in fields:
            if member == "__init__" and fields:
                continue
            yield f"    {name}.{_member(member, value)}"


def _member(name: str, value: Any) -> str:
    abstract = "abstract " if getattr(value, "__isabstractmethod__", False) else ""
    if isinstance(value, property):
        return f"{name} (property)"
    value = getattr(value, "func", getattr(value, "__func__", value))  # a cached property, a class method
    return f"{abstract}{name}{inspect.signature(value)}" if inspect.isfunction(value) else name


def test_the_public_surface_is_the_frozen_one() -> None:
    frozen, here = FROZEN.read_text().splitlines(), "\n".join(surface()).splitlines()
    assert gone(frozen, here, RETIRED) == [], __doc__
    assert here == frozen, __doc__


@pytest.mark.parametrize(
    ("lost", "named"),
    [
        ("    Classes.names: tuple[str, ...]", ["Classes.names"]),
        (
            "hook taskkit_callbacks(recipe: 'Recipe') -> 'Iterable[Callback]'",
            ["hook taskkit_callbacks", "hook taskkit_callbacks(recipe)"],
        ),
        ("    setting optim.momentum: float = 0.9", ["setting optim.momentum"]),
        ("    setting image.vit.dropout: float = 0.0", ["setting image.vit.dropout"]),
        ("    metric image.classification accuracy: max", ["metric image.classification accuracy"]),
        ("macro_f1(target", ["macro_f1", "macro_f1(prediction)", "macro_f1(sample_weight)", "macro_f1(target)"]),
    ],
)
def test_what_goes_without_being_announced_is_found(lost: str, named: list[str]) -> None:
    lines = FROZEN.read_text().splitlines()
    rest = [line for line in lines if not line.startswith(lost)]
    assert len(rest) == len(lines) - 1
    assert gone(lines, rest, ()) == named
    announced = [Retired(named[0], deprecated("0.2", "0.3", "another"))]
    assert gone(lines, rest, announced) == []


def test_an_argument_that_goes_is_found_and_another_type_or_default_is_no_loss() -> None:
    before = ["run(recipe: 'str | Path', overrides: 'Sequence[str]' = (), *, out: 'Path | None' = None) -> 'LoadedRun'"]
    after = ["run(recipe: 'str', *, out: 'Path' = None, more: 'int' = 3) -> 'LoadedRun'"]
    assert gone(before, after, ()) == ["run(overrides)"]
    assert gone(["class Step()", "    Step.loss: Tensor"], [], [Retired("class Step", deprecated("1", "2", "x"))]) == []


def test_what_is_retired_was_announced_a_version_before() -> None:
    for each in RETIRED:
        assert Version(each.announced.since) < Version(each.announced.until) <= Version(version("taskkit-ml")), each


def write() -> None:
    """Write the file anew, unless something would go that was not announced."""
    lines = [*surface()]
    if lost := gone(FROZEN.read_text().splitlines(), lines, RETIRED):
        raise SystemExit("\n".join(["These would go without being announced; see this file's docstring:", *lost]))
    FROZEN.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    write()
