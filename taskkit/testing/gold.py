"""Gold: the plugin is a package that a stranger can install, read and build upon."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib import util
from importlib.metadata import PackagePath
from pathlib import Path

from taskkit.contracts.component import load
from taskkit.contracts.hookspecs import GROUP
from taskkit.testing.seen import NotRun, Seen
from taskkit.testing.subject import Subject
from taskkit.testing.wheel import ANSWER
from taskkit.wording import some

LAST_LINES = 6
"""Lines of what a program said that are shown when it failed."""


def wheel(subject: Subject) -> Seen:
    """Whether the plugin works from its wheel alone, and requires what it imports."""
    with tempfile.TemporaryDirectory(prefix="taskkit-wheel-") as folder:
        site, answer = Path(folder, "site"), Path(folder, "answer.json")
        site.mkdir()
        if subject.source is not None:
            _built(subject.source, Path(folder), site)
        else:
            _copied(subject, site)
        words = [sys.executable, "-P", "-m", "taskkit.testing.wheel", subject.distribution, str(site), str(answer)]
        path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
        file = [] if subject.file is None else [str(subject.file)]
        ended = subprocess.run(
            [*words, *file], capture_output=True, text=True, cwd=subject.home, env={**os.environ, "PYTHONPATH": path}
        )
        if ended.returncode != 0 or not answer.exists():
            return Seen(f"a process with the wheel alone failed: {_last(ended.stderr)}", "Mend what it says.")
        faults = json.loads(answer.read_text())[ANSWER]
    if faults:
        return Seen("; ".join(faults), "Mend pyproject.toml: what it packages, and what it requires.", faults)
    return Seen("it loads, and trains two steps, from its wheel; what it imports is required")


def documented(subject: Subject) -> Seen:
    """Whether there are a README and a docstring for each component."""
    faults = []
    if not _readme(subject).strip():
        faults.append("there is no README in its metadata (`readme` in pyproject.toml)")
    for component in subject.components:
        if not (load(component.implementation).__dict__.get("__doc__") or "").strip():
            faults.append(f"{component.implementation} has no docstring")
    if faults:
        return Seen("; ".join(faults), "Write it: whoever chooses the plugin has nothing else to go by.", faults)
    return Seen("a README, and a docstring for each component")


def typed(subject: Subject) -> Seen:
    """Whether the package ships py.typed and has types that mypy finds nothing wrong with."""
    packages = [*_packages(subject)]
    if untyped := [package.name for package in packages if not (package / "py.typed").is_file()]:
        return Seen(
            f"{', '.join(untyped)} has no py.typed",
            "Add an empty file py.typed to the package, so that type checkers of others read its types.",
        )
    if util.find_spec("mypy") is None:
        raise NotRun("mypy is not installed", "pip install mypy")
    words = [sys.executable, "-P", "-m", "mypy", "--strict", "--no-error-summary", *map(str, packages)]
    ended = subprocess.run(words, capture_output=True, text=True, cwd=_configured(subject.source) or subject.home)
    if ended.returncode != 0:
        # Paths from the package on: those of where it is installed would take up the line.
        said = (ended.stdout + ended.stderr).strip()
        for package in packages:
            said = said.replace(f"{package.parent}{os.sep}", "")
        lines = said.splitlines()
        found = "a fault" if len(lines) == 1 else f"{len(lines)} faults"
        return Seen(f"mypy --strict finds {found}: {some(lines)}", "Mend the types.", lines)
    return Seen("py.typed is there, and mypy --strict finds nothing")


def _built(source: Path, folder: Path, site: Path) -> None:
    """Unpack the wheel of a source folder; raises NotRun where none can be built."""
    pip = [sys.executable, "-P", "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-index"]
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder / "wheels"), str(source)]
    ended = subprocess.run([*pip, *options], capture_output=True, text=True, cwd=folder)
    built = [*(folder / "wheels").glob("*.whl")]
    if ended.returncode != 0 or not built:
        raise NotRun(
            f"no wheel can be built: {_last(ended.stderr)}",
            "Install what builds it, such as hatchling, beside taskkit.",
        )
    with zipfile.ZipFile(built[0]) as archive:
        archive.extractall(site)


def _copied(subject: Subject, site: Path) -> None:
    """Copy what a wheel installed; raises NotRun where nothing says what that was."""
    files = [file for file in subject.installed.files or () if ".." not in file.parts and not file.is_absolute()]
    if not files:
        raise NotRun("its metadata do not list its files", "Install it by pip from a wheel.")
    for file in files:
        _copy(file, site)


def _copy(file: PackagePath, site: Path) -> None:
    place = Path(str(file.locate()))
    if place.is_file():
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(place, site / file)


def _readme(subject: Subject) -> str:
    """What a package index would show."""
    if subject.source is not None:
        found = sorted(subject.source.glob("README*"))
        return found[0].read_text(errors="replace") if found else ""
    return str(subject.installed.metadata.json.get("description", ""))


def _packages(subject: Subject) -> Iterator[Path]:
    """The folders of the packages that its entry points are in; raises NotRun for a module without one."""
    for name in {entry.module.partition(".")[0] for entry in subject.installed.entry_points.select(group=GROUP)}:
        found = util.find_spec(name)
        if found is None or not found.submodule_search_locations:
            raise NotRun(f"{name} is no package", "Put the module into a package, which can hold a py.typed.")
        yield Path(found.submodule_search_locations[0])


def _configured(source: Path | None) -> Path | None:
    """The nearest folder around a source folder that configures mypy, and so has its cache; else the folder itself."""
    around = [] if source is None else [source, *source.parents]
    for folder in around:
        if (folder / "mypy.ini").exists() or "[tool.mypy]" in _text(folder / "pyproject.toml"):
            return folder
        if (folder / ".git").exists():
            break
    return source


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _last(said: str) -> str:
    """The last lines that a program said, as one."""
    return " / ".join(line.strip() for line in said.strip().splitlines()[-LAST_LINES:]) or "it said nothing"
