"""The plugins of a run: what is recorded of them, and what is otherwise with them since."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from taskkit.cachedir import file_sha256
from taskkit.contracts.component import PluginInfo
from taskkit.contracts.recipe import Recipe
from taskkit.errors import CheckpointError
from taskkit.plugins import installed
from taskkit.plugins.registry import Plugins
from taskkit.runs.manifest import Manifest
from taskkit.wording import path_text

log = logging.getLogger("taskkit")


def recorded(plugins: Plugins, recipe: Recipe) -> tuple[Mapping[str, str], ...]:
    """What run.json says of the plugins that a recipe uses: which each is, and the hash of what it is made of."""
    return tuple(_recorded(info, plugins) for info in plugins.used_by(recipe))


def check_plugins(path: Path, run: Manifest, plugins: Plugins) -> None:
    """Say in one line which of a run's plugins are otherwise now.

    Raises CheckpointError where a run was made with a file that is not among the plugins.
    """
    here = [_recorded(info, plugins) for info in plugins.plugins]
    for each in run.plugins:
        if "sha256" in each and not any(_is_same_file(each, other) for other in here):
            raise CheckpointError(f"{path}: {_not_named(each)}")
    if said := [words for each in run.plugins for words in _otherwise(each, here)]:
        log.warning("%s: since the run was made, %s.", path, "; ".join(said))


def _recorded(info: PluginInfo, plugins: Plugins) -> dict[str, str]:
    named = {"distribution": info.distribution, "version": info.version, "entry_point": info.entry_point}
    if (loaded := plugins.loaded(info)).is_file:
        return {**named, "sha256": loaded.sha256}
    dist = installed.distribution(info)
    record = "" if dist is None else installed.record_sha256(dist)
    return {**named, "record_sha256": record} if record else named


def _is_same_file(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether two are the same file, perhaps elsewhere or with other content."""
    return "sha256" in other and one["entry_point"] == other["entry_point"]


def _not_named(file: Mapping[str, str]) -> str:
    path = Path(file["distribution"])
    try:
        there = "is there as it was" if file_sha256(path) == file["sha256"] else "has other content now"
        advice = f"Name it again: --plugin {path_text(path)}"
    except OSError:
        there, advice = "is no longer there", "Name where it is now: --plugin FILE"
    return f"the run was made with the plugin {path_text(path)}, a file that {there}. {advice}"


def _otherwise(before: Mapping[str, str], here: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """What is otherwise with a plugin of a run, in words."""
    name = before["distribution"]
    if "sha256" in before:
        (now,) = [each for each in here if _is_same_file(before, each)]
        if now["sha256"] != before["sha256"]:
            yield f"the plugin {name} was {before['version']}… and is {now['version']}… (SHA-256)"
        return
    now = next((each for each in here if each["distribution"] == name), {})
    if not now:
        yield f"{name} {before['version']} was used and is not in use now"
    elif now["version"] != before["version"]:
        yield f"{name} was {before['version']} and is {now['version']}"
    elif before.get("record_sha256") and now.get("record_sha256") != before["record_sha256"]:
        yield f"{name} {before['version']} was installed again, with other files"
