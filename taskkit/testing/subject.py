"""The plugin that is checked: what is installed, where its source is, and the recipes by which it is tried."""

from __future__ import annotations

import contextlib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata, util
from pathlib import Path
from urllib.parse import unquote, urlparse

from taskkit.contracts.component import Component, PluginInfo, RecipeFile
from taskkit.contracts.hookspecs import GROUP
from taskkit.errors import PluginError, RecipeError
from taskkit.plugins.guard import PluginProblem
from taskkit.plugins.index import install_advice
from taskkit.plugins.registry import Plugins
from taskkit.recipe.load import Resolved, load, split
from taskkit.testing import declared
from taskkit.testing.declared import Declared
from taskkit.wording import did_you_mean

HOST = "taskkit-ml"
"""The distribution of taskkit, which the kit is part of."""
HERE = (
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "trainer.devices=1",
    "trainer.num_nodes=1",
    "trainer.strategy=auto",
    "compile=false",
    "loader.cache=false",
)
"""Changes of every recipe that is tried: on one CPU and in 32 bits, where what is alike comes out alike, and with
nothing kept between runs."""


@dataclass(frozen=True)
class Tried:
    """A recipe by which the plugin is tried."""

    name: str
    words: Sequence[str]
    resolved: Resolved | None
    problem: str = ""
    """Why it cannot be tried."""

    def names(self, component: Component) -> bool:
        """Whether a component is chosen by it."""
        return self.resolved is not None and component in [
            chosen.component for chosen in self.resolved.recipe.chosen().values()
        ]


@dataclass(frozen=True)
class Subject:
    """An installed distribution with a plugin in it, and what it says of itself to the kit."""

    distribution: str
    version: str
    source: Path | None
    """The folder with its pyproject.toml; None: it is installed, and its source is not here."""
    plugins: Plugins
    """All that are in use: a recipe may need others."""
    declared: Declared
    file: Path | None
    """Its conformance.yaml; None: it has none."""
    home: Path
    """The folder in which recipes are tried: relative paths in them begin there."""

    @property
    def installed(self) -> metadata.Distribution:
        """The metadata of the distribution."""
        return metadata.distribution(self.distribution)

    @property
    def infos(self) -> tuple[PluginInfo, ...]:
        """Its plugins that are in use."""
        return tuple(info for info in self.plugins.plugins if info.distribution == self.distribution)

    @property
    def problems(self) -> tuple[PluginProblem, ...]:
        """What discovery found wrong with it."""
        return tuple(each for each in self.plugins.problems if each.distribution == self.distribution)

    @property
    def components(self) -> tuple[Component, ...]:
        """What it declares."""
        return tuple(each for each in self.plugins.components if self.plugins.owner(each) in self.infos)

    def component(self, name: str) -> Component:
        """The component of this name; raises KeyError when there is none."""
        return {each.name: each for each in self.components}[name]

    @property
    def shipped(self) -> tuple[RecipeFile, ...]:
        """The recipes that it ships."""
        return tuple(each for each in self.plugins.recipes() if self.plugins.owner(each) in self.infos)

    @cached_property
    def tried(self) -> Mapping[str, Tried]:
        """The recipes by which it is tried, by name."""
        words = self.declared.recipes or {each.name: [str(each.path)] for each in self.shipped}
        return {name: self._tried(name, given) for name, given in words.items()}

    def resolved(self, words: Sequence[str]) -> Resolved:
        """A recipe with its changes, on one CPU; raises RecipeError."""
        with contextlib.chdir(self.home):
            files, changes = split(words)
            return load(files, [*HERE, *changes], self.plugins)

    def _tried(self, name: str, words: Sequence[str]) -> Tried:
        try:
            return Tried(name, words, self.resolved(words))
        except RecipeError as error:
            return Tried(name, words, None, str(error))


def find(words: str | Path, plugins: Plugins, checks: Iterable[str], file: Path | None = None) -> Subject:
    """The plugin of a distribution's name or of a source folder; `file` is its conformance.yaml, `checks` all names.

    Without `file` it is `tests/conformance.yaml` of the folder, else the one that lies beside the plugin's module; a
    plugin without one is tried by the recipes that it ships. Raises PluginError where no such plugin is installed, and
    RecipeError for a conformance.yaml with faults in it.
    """
    folder = Path(words) if isinstance(words, Path) or Path(words, "pyproject.toml").is_file() else None
    name = str(words) if folder is None else _name(folder)
    if folder is None and Path(name).exists():
        raise PluginError(_no_distribution(Path(name)))
    try:
        installed = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        raise PluginError(_not_installed(name, folder)) from None
    entries = installed.entry_points.select(group=GROUP)
    if not entries:
        raise PluginError(
            f"{name} {installed.version} is no plugin: it has no entry point in the group {GROUP!r}. Expected one, "
            f'such as `[project.entry-points.{GROUP}]` with `foo = "taskkit_foo.plugin"`. Add it and install it again.'
        )
    folder = folder or _edited(installed)
    file = file or next(_files(folder, [each.module for each in entries]), None)
    return Subject(
        distribution=installed.name,
        version=installed.version,
        source=None if folder is None else folder.resolve(),
        plugins=plugins,
        declared=Declared() if file is None else declared.read(file, checks),
        file=None if file is None else file.resolve(),
        home=Path.cwd() if file is None else file.resolve().parent,
    )


def _name(folder: Path) -> str:
    """What the pyproject.toml of a folder calls its distribution; raises PluginError."""
    path = folder / "pyproject.toml"
    try:
        return str(tomllib.loads(path.read_text(encoding="utf-8"))["project"]["name"])
    except (OSError, KeyError, TypeError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise PluginError(
            f"{path}: no name of a distribution can be read ({why}). A source folder with `[project]` and `name` in "
            "its pyproject.toml was expected, or the name of an installed distribution."
        ) from None


def _not_installed(name: str, folder: Path | None) -> str:
    known = {str(each.dist.name) for each in metadata.entry_points(group=GROUP) if each.dist}
    near = did_you_mean(name, known) if folder is None else ""
    advice = f"Try: pip install -e {folder}" if folder else install_advice(name)
    return f"no distribution named {name!r} is installed.{near or f' {advice}'}"


def _no_distribution(path: Path) -> str:
    if path.is_dir():
        return (
            f"{path}: this folder has no pyproject.toml. The source folder of a plugin was expected, or the name of an "
            "installed distribution. `taskkit new plugin` writes such a folder."
        )
    return (
        f"{path}: a file is no distribution, so it reaches no level. The source folder of a plugin was expected, or "
        "the name of an installed distribution. `taskkit new plugin` makes one, into which the file's code can go; "
        f"`taskkit check RECIPE --plugin {path}` checks a recipe that uses the file as it is."
    )


def _edited(installed: metadata.Distribution) -> Path | None:
    """The source folder of an editable install."""
    try:
        said = json.loads(installed.read_text("direct_url.json") or "{}")
        editable = said.get("dir_info", {}).get("editable")
        folder = Path(unquote(urlparse(said["url"]).path)) if editable else None
    except (ValueError, KeyError, AttributeError):
        return None
    return folder if folder is not None and (folder / "pyproject.toml").is_file() else None


def _files(folder: Path | None, modules: Iterable[str]) -> Iterator[Path]:
    """The places of a conformance.yaml that is there, the nearest to its author first."""
    places = [] if folder is None else [folder / "tests"]
    for module in modules:
        package = module.rpartition(".")[0]
        with contextlib.suppress(Exception):  # A package that cannot be imported is told by the check of that.
            found = util.find_spec(package) if package else None
            places += [] if found is None else list(map(Path, found.submodule_search_locations or ()))
    return (place / declared.FILE for place in places if (place / declared.FILE).is_file())
