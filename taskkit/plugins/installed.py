"""What the metadata of installed distributions say of plugins; nothing of a plugin is imported."""

from __future__ import annotations

import csv
import hashlib
import inspect
import json
import re
from collections.abc import Collection, Iterable, Iterator
from importlib import metadata
from typing import TYPE_CHECKING

from taskkit.contracts.component import PluginInfo
from taskkit.contracts.hookspecs import GROUP
from taskkit.plugins.guard import PluginProblem, Refused, guard
from taskkit.plugins.origin import EDITABLE, origin

_HEAD = re.compile(r"^(Name|Version):(.*)$", re.MULTILINE)

if TYPE_CHECKING:
    from packaging.requirements import Requirement


def entry_points(group: str = GROUP) -> tuple[list[metadata.EntryPoint], list[PluginProblem]]:
    """The entry points of a group, sorted by name and owner, and the packages whose metadata cannot be read."""
    problems: list[PluginProblem] = []
    try:
        found: Iterable[metadata.EntryPoint] = metadata.entry_points(group=group)
    except Exception:  # One package's malformed metadata; the slow way finds out which.
        found, problems = _readable_entry_points(group)
    return sorted(found, key=lambda each: (each.name, str(info_of(each)))), problems


def _readable_entry_points(group: str) -> tuple[list[metadata.EntryPoint], list[PluginProblem]]:
    found: list[metadata.EntryPoint] = []
    problems: list[PluginProblem] = []
    # As on import, the first of two distributions of one name hides the other.
    distributions = {_name(dist): dist for dist in reversed([*metadata.distributions()])}
    for name, dist in distributions.items():
        try:
            with guard("metadata", "entry_points.txt: "):
                found += dist.entry_points.select(group=group)
        except Refused as refused:
            problems.append(refused.problem(PluginInfo(name, dist.version, "")))
    return found, problems


def info_of(entry_point: metadata.EntryPoint) -> PluginInfo:
    """The plugin that an entry point belongs to."""
    dist = entry_point.dist
    return PluginInfo("unknown" if dist is None else _name(dist), getattr(dist, "version", "") or "", entry_point.name)


def _name(dist: metadata.Distribution) -> str:
    """What a distribution calls itself: one without metadata has no name, and its version alone would name nobody."""
    return dist.name or "unknown"


def name_and_version(dist: metadata.Distribution) -> tuple[str, str]:
    """What a distribution calls itself and its version, empty where it says neither.

    They stand at the head of its metadata; the rest of these, often a whole README, is what takes time to parse.
    """
    head = (dist.read_text("METADATA") or dist.read_text("PKG-INFO") or "").partition("\n\n")[0]
    found = {key: value.strip() for key, value in reversed(_HEAD.findall(head))}
    return found.get("Name", ""), found.get("Version", "")


def providers() -> dict[str, list[str]]:
    """The names of the distributions that provide each outermost module, as `metadata.packages_distributions` has them.

    That one makes an object of each of all installed files, and takes several times as long.
    """
    found: dict[str, list[str]] = {}
    for dist in metadata.distributions():
        for module in _declared(dist) or _inferred(dist):
            found.setdefault(module, []).append(name_and_version(dist)[0])
    return found


def _declared(dist: metadata.Distribution) -> list[str]:
    return (dist.read_text("top_level.txt") or "").split()


def _inferred(dist: metadata.Distribution) -> set[str]:
    """The outermost names of its files of code."""
    record = dist.read_text("RECORD")
    files = map(str, dist.files or ()) if record is None else (row[0] for row in csv.reader(record.splitlines()) if row)
    code = (file for file in files if file.endswith((".py", ".so", ".pyd")))
    tops = {file.partition("/")[0] if "/" in file else inspect.getmodulename(file) or "" for file in code}
    return {top for top in tops if top and "." not in top}


def names(info: PluginInfo) -> set[str]:
    """What an allow-list or a preference may call a plugin."""
    return {normalised(info.entry_point), normalised(info.distribution)}


def normalised(name: str) -> str:
    """A name as package indexes compare it: `Taskkit_Image` is `taskkit-image`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def allowed(info: PluginInfo, allow: Collection[str] | None) -> bool:
    """Whether an allow-list, of entry points or distributions, names a plugin; None: it names all."""
    return allow is None or bool(names(info) & set(map(normalised, allow)))


def distribution(info: PluginInfo) -> metadata.Distribution | None:
    """The distribution of a plugin; None: it is a file or an object of this process."""
    try:
        return metadata.distribution(info.distribution)
    except (metadata.PackageNotFoundError, ValueError):
        return None


def record_sha256(dist: metadata.Distribution) -> str:
    """The SHA-256 of what a distribution's RECORD says of the files that came with it; empty where it says nothing.

    What installers add is left out, as bytecode, scripts and their own notes, so that it is the same on every machine.
    One that is edited where it lies has none: its RECORD says nothing of its code.
    """
    if origin(dist).startswith(EDITABLE):
        return ""
    entries = csv.reader((dist.read_text("RECORD") or "").splitlines())
    came = [entry[:2] for entry in entries if len(entry) == 3 and entry[1] and not _is_installers(entry[0])]
    return hashlib.sha256(json.dumps(sorted(came)).encode()).hexdigest() if came else ""


def _is_installers(path: str) -> bool:
    return path.startswith(("../", "/")) or path.endswith((".pyc", "/INSTALLER", "/REQUESTED", "/direct_url.json"))


def licence(dist: metadata.Distribution) -> str:
    """The licence that a distribution states, on one line; empty where it states none."""
    meta = dist.metadata
    given = [field[0] for name in ("License-Expression", "License") if (field := meta.get_all(name))]
    stated = given[0].strip().partition("\n")[0] if given else ""
    classified = [each for each in meta.get_all("Classifier") or () if each.startswith("License ::")]
    return stated or ", ".join(each.rpartition(" :: ")[2] for each in classified)


def homepage(dist: metadata.Distribution) -> str:
    """The page that a distribution names as its own, else the first of those that it names; empty: none."""
    pages = [each.partition(",")[::2] for each in dist.metadata.get_all("Project-URL") or ()]
    named = {label.strip().lower(): url.strip() for label, url in reversed(pages)}
    first = pages[0][1].strip() if pages else ""
    return next(iter(dist.metadata.get_all("Home-page") or ()), "") or named.get("homepage") or first


def unmet(requirement: Requirement, extra: str = "") -> str:
    """What is installed instead of what is required, in words; empty where it is met or concerns another environment.

    An extra that is required is met when all that it asks for is.
    """
    from packaging.requirements import Requirement as Parsed

    if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
        return ""
    try:
        dist = metadata.distribution(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if not requirement.specifier.contains(dist.version, prereleases=True):
        return f"{requirement.name} {dist.version} is installed"
    for wanted in sorted(requirement.extras):
        for text in dist.requires or ():
            further = Parsed(text)
            if "extra" in str(further.marker or "") and (lacking := unmet(further, wanted)):
                return f"of {requirement.name}[{wanted}] {lacking}"
    return ""


def requirements(dist: metadata.Distribution) -> Iterator[Requirement]:
    """What a distribution requires, its extras left out; raises packaging's InvalidRequirement for nonsense."""
    from packaging.requirements import Requirement as Parsed

    yield from map(Parsed, dist.requires or ())
