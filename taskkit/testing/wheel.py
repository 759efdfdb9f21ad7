"""A plugin tried from an unpacked wheel: `python -m taskkit.testing.wheel DISTRIBUTION SITE ANSWER [CONFORMANCE.YAML]`.

It is a process of its own, in which SITE stands before all else that is installed.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path

from packaging.requirements import Requirement
from rich.console import Console

from taskkit import api
from taskkit.errors import PluginError
from taskkit.plugins.discovery import from_environment
from taskkit.recipe.load import load
from taskkit.testing.plan import CHECKS
from taskkit.testing.subject import HOST, Subject, find
from taskkit.verify.lab import short

ANSWER = "faults"
STEPS = 4


def faults(subject: Subject, site: Path) -> Iterator[str]:
    """What does not work with the wheel, or is not required by it."""
    yield from (f"{each.reason}" for each in subject.problems if each.stage != "clash")
    modules = {each.implementation.partition(":")[0] for each in subject.components}
    modules |= {each.section.partition(":")[0] for each in subject.components}
    own = {path.name.removesuffix(".py") for path in site.iterdir()}
    for name in sorted(module for module in modules if module.partition(".")[0] in own):
        place = import_module(name).__file__
        if place is None or not Path(place).is_relative_to(site):
            yield f"{name} is not in the wheel"
    yield from (f"the recipe {each.name} is not in the wheel" for each in subject.shipped if not _in(each.path, site))
    yield from _not_required(subject, site, own)
    for tried in list(subject.tried.values())[:1]:
        if tried.resolved is None:
            yield f"{tried.name}: {tried.problem}"
        else:
            _train(subject, tried.resolved.to_yaml())


def _in(path: Path, site: Path) -> bool:
    return path.resolve().is_relative_to(site)


def _train(subject: Subject, recipe: str) -> None:
    """Take a few steps of a recipe."""
    with tempfile.TemporaryDirectory() as folder, Path("/dev/null").open("w") as nowhere:
        path = Path(folder, "recipe.yaml")
        path.write_text(recipe)
        plugins = subject.plugins
        changes = short(load([path], [], plugins).recipe, STEPS)
        api.start(load([path], changes, plugins), plugins, Path(folder, "run"), Console(file=nowhere))


def _not_required(subject: Subject, site: Path, own: set[str]) -> Iterator[str]:
    """Packages that the wheel imports and neither it nor the host requires."""
    required = {*_required(subject.distribution), *_required(HOST), _normalised(HOST), "pip", "setuptools"}
    if _normalised(HOST) not in set(_required(subject.distribution)):
        yield f"it does not require {HOST}"
    homes = metadata.packages_distributions()
    for package in sorted({name for path in site.rglob("*.py") for name in _imported(path)} - own):
        if package in sys.stdlib_module_names or package == "taskkit":
            continue
        if not required & set(map(_normalised, homes.get(package, [package]))):
            yield f"it imports {package}, which it does not require"


def _required(distribution: str) -> Iterator[str]:
    """What a distribution requires, also as an extra."""
    return (_normalised(Requirement(each).name) for each in metadata.distribution(distribution).requires or ())


def _imported(path: Path) -> Iterator[str]:
    """The packages that a module imports, at its top or inside."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _main(distribution: str, site: str, answer: str, file: str | None = None) -> None:
    names = [check.name for check in CHECKS]
    subject = find(distribution, from_environment(), names, None if file is None else Path(file))
    try:
        found = [*faults(subject, Path(site).resolve())]
    except (ImportError, PluginError) as error:
        found = [str(error)]
    Path(answer).write_text(json.dumps({ANSWER: found}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
