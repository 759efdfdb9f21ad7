"""What is wrong with the plugins and the packages of this environment, each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from packaging.requirements import InvalidRequirement
from packaging.specifiers import SpecifierSet

from taskkit.contracts.component import PluginInfo
from taskkit.errors import PluginError
from taskkit.plugins import installed
from taskkit.plugins.compatibility import check_usable
from taskkit.plugins.registry import Plugins
from taskkit.wording import TELL_AUTHORS


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    state: Literal["ok", "note", "wrong"]
    """note: fit to train, but worth knowing."""
    what: str
    found: str
    do: str = ""
    """What to do about it."""


@dataclass(frozen=True)
class Bad:
    """Versions of a package that must not be used."""

    package: str
    versions: str
    why: str
    do: str


KNOWN_BAD = (
    *(
        Bad(
            name,
            "==2.6.2,==2.6.3",
            "published by an attacker",
            "Install another version; change what was secret here.",
        )
        for name in ("lightning", "pytorch-lightning")
    ),
    Bad("transformers", "<5.3", "CVE-2026-4372", "Install transformers>=5.3."),
)

INJECTING = {
    "pytorch_lightning.callbacks_factory": "adds callbacks to every training, which no run.json names",
    "lightning_fabric.callbacks_factory": "adds callbacks to whatever asks a run, which no run.json names",
}
"""Groups of entry points that Lightning calls by itself, and what they do to a run of taskkit."""


def checks(plugins: Plugins) -> Iterator[Check]:
    """Look at all of it."""
    yield from _plugins(plugins)
    yield from _requirements(plugins)
    yield from _known_bad()
    yield from _injected()


def version(package: str) -> str:
    """The installed version of a package; empty where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _plugins(plugins: Plugins) -> Iterator[Check]:
    unusable = [*_unusable(plugins)]
    troubled = {each.plugin for each in plugins.problems} | {plugin for plugin, _ in unusable}
    good = [str(info) for info in plugins.plugins if info not in troubled]
    yield Check("ok", "plugins", ", ".join(dict.fromkeys(good)) or "none")
    for problem in plugins.problems:
        name = problem.plugin.entry_point or problem.distribution
        yield Check("wrong", f"plugin {name}", problem.reason, problem.hint)
    for plugin, reason in unusable:
        yield Check("wrong", f"plugin {plugin.entry_point or plugin.distribution}", reason, TELL_AUTHORS)


def _unusable(plugins: Plugins) -> Iterator[tuple[PluginInfo, str]]:
    """Owners of components whose class is not there, or whose section or facts do not load, and the reason."""
    for component in plugins.components:
        plugin = plugins.owner(component)
        try:
            check_usable(component, plugin)
        except PluginError as error:
            yield plugin, str(error).removesuffix(f" {TELL_AUTHORS}")


def _requirements(plugins: Plugins) -> Iterator[Check]:
    """What plugins say that they need, and is not there: pip tells it once, when they are installed."""
    concerned: list[PluginInfo] = [*plugins.plugins, *(problem.plugin for problem in plugins.problems)]
    for name in dict.fromkeys(info.distribution for info in concerned):
        dist = installed.distribution(PluginInfo(name, "", ""))
        if dist is None:
            continue
        try:
            lacking = {str(each): found for each in installed.requirements(dist) if (found := installed.unmet(each))}
        except InvalidRequirement as error:
            yield Check(
                "wrong", f"requirements of {name}", " ".join(str(error).split()), f"Tell the authors of {name}."
            )
            continue
        for requirement, found in lacking.items():
            needed = requirement.partition(";")[0].strip()
            yield Check("wrong", f"requirements of {name}", f"{needed}: {found}", f"Try: pip install '{needed}'")


def _known_bad() -> Iterator[Check]:
    for bad in KNOWN_BAD:
        found = version(bad.package)
        if found and any(SpecifierSet(each).contains(found, prereleases=True) for each in bad.versions.split(",")):
            yield Check("wrong", f"{bad.package} {found}", bad.why, bad.do)


def _injected() -> Iterator[Check]:
    """Code that comes into every run by being installed: no recipe, no allow-list and no run.json names it."""
    for group, what in INJECTING.items():
        for each in installed.entry_points(group)[0]:
            owner = installed.info_of(each)
            do = f"If you do not want that: pip uninstall {owner.distribution}"
            yield Check("wrong", f"{owner} injects code", f"{each.value}, of the group {group}, {what}", do)
