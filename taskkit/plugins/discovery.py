"""Guarded discovery: finding the installed plugins, loading them, and checking what they declare."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path

from pluggy import PluginManager

from taskkit.configuration import Configuration, read_configuration
from taskkit.contracts import hookspecs
from taskkit.contracts.component import KINDS, Component, PluginInfo, RecipeFile
from taskkit.errors import PluginError
from taskkit.plugins.files import PluginFile, load, named_files
from taskkit.plugins.guard import PluginProblem, Refused, call, guard
from taskkit.plugins.index import install_advice
from taskkit.plugins.installed import allowed, distribution, entry_points, info_of, names, normalised
from taskkit.plugins.origin import own_folder
from taskkit.plugins.registry import Loaded, Offer, Plugins
from taskkit.wording import did_you_mean

__all__ = ["HOOKS", "Plugins", "discover", "from_environment"]

HOOKS = tuple(hookspecs.hooks())
_MODALITY_NAME = re.compile(r"[a-z][a-z0-9_-]*\.[a-z0-9][a-z0-9_-]*")
_REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_MAJOR, _MINOR = hookspecs.API_VERSION.split(".")
_NEXT_API = f"{_MAJOR}.{int(_MINOR) + 1}"
_Plugin = tuple[object, str]
"""A plugin and the range of APIs that it states."""


def from_environment(no_plugins: bool = False) -> Plugins:
    """Discover what this environment allows, and the files that were named.

    Raises TaskkitError for a configuration file that cannot be used, and PluginError for a file that cannot: who names
    one wants it.
    """
    chosen, files = choices(no_plugins), named_files()
    found = discover(chosen.allow, prefer=chosen.prefer, files=files)
    for problem in found.refused:
        if problem.plugin in [file.info for file in files]:
            raise PluginError(f"--plugin {problem.distribution}: {problem.reason}. {problem.hint}")
    return found


@dataclass(frozen=True)
class Again:
    """Finds the same plugins in another process, which is given this pickled."""

    allow: tuple[str, ...]
    prefer: tuple[str, ...]

    @classmethod
    def of(cls, plugins: Plugins) -> Again:
        """What finds these; raises PluginError for one that is an object of this process."""
        for info in plugins.plugins:
            if not info.version:
                raise PluginError(
                    f"{info.entry_point}: this plugin is an object of this process. One that another process can "
                    "import was expected. Put it into a file or a package, or do with one process."
                )
        # Files are named in the environment, which the other process has too.
        installed = [info for info in plugins.plugins if distribution(info) is not None]
        return cls(tuple(info.entry_point for info in installed), plugins.prefer)

    def __call__(self) -> Plugins:
        """The plugins, in this process."""
        return discover(self.allow, prefer=self.prefer, files=named_files())


def choices(no_plugins: bool = False) -> Configuration:
    """What a person set: the configuration file, and over it `TASKKIT_PLUGINS`, names with commas; empty: none."""
    chosen = read_configuration()
    named = "" if no_plugins else os.environ.get("TASKKIT_PLUGINS")
    if named is None:
        return chosen
    return replace(chosen, allow=tuple(name.strip() for name in named.split(",") if name.strip()))


def discover(
    allow: Collection[str] | None = None,
    extra: Mapping[str, object] | None = None,
    prefer: Sequence[str] = (),
    files: Sequence[PluginFile] = (),
) -> Plugins:
    """Load the installed plugins that `allow` names, by default all, and ask them what they declare.

    `allow` holds names of entry points or of distributions. `extra` are plugin objects by entry-point name, for tests
    and notebooks, and `files` are those of a project; `allow` does not concern either. Of what several declare, that of
    the first in `prefer` is used. A plugin is in as a whole or out as a whole, and nothing is raised on account of one.
    """
    found, problems = entry_points()
    installed = [info_of(entry_point) for entry_point in found]
    off = [info for info in installed if not allowed(info, allow)]
    problems += _not_installed(allow or (), installed)
    wanted = [(info, partial(_load, point)) for info, point in zip(installed, found, strict=True) if info not in off]
    wanted += [(PluginInfo(name, "", name), partial(_itself, plugin)) for name, plugin in (extra or {}).items()]
    wanted += [(file.info, partial(_load_file, file)) for file in files]

    hashes = {file.info: file.sha256 for file in files}
    loaded: dict[PluginInfo, Loaded] = {}
    offers: list[Offer] = []
    # What a plugin prints while it is loaded must not get into `taskkit list --json`.
    with contextlib.redirect_stdout(sys.stderr):
        for info, get in wanted:
            try:
                _refuse_twins(info, installed)
                admitted = _admit(info, get)
                offers += _declared(admitted.manager, info)
                loaded[info] = replace(admitted, sha256=hashes.get(info, ""))
            except Refused as refused:
                problems.append(refused.problem(info))
    return Plugins(
        plugins=tuple(loaded),
        refused=tuple(dict.fromkeys(problems)),
        off=tuple(dict.fromkeys(off)),
        prefer=tuple(prefer),
        _all=tuple(offers),
        _loaded=loaded,
    )


def _not_installed(allow: Collection[str], installed: Sequence[PluginInfo]) -> list[PluginProblem]:
    """Allowed names that no installed plugin has."""
    known = {name for info in installed for name in names(info)}
    problems = []
    for name in allow:
        if normalised(name) not in known:
            hint = did_you_mean(name, known).strip() or install_advice(name)
            problems.append(PluginProblem("", "", name, "allow", f"no plugin named {name!r} is installed", hint))
    return problems


def _refuse_twins(info: PluginInfo, installed: Sequence[PluginInfo]) -> None:
    """Let neither of two entry points win that one distribution gives the same name."""
    if installed.count(info) > 1:
        reason = f"it declares the entry point {info.entry_point!r} twice"
        raise Refused("clash", reason, "Its authors must rename one of them. Until then, try another version of it.")


def _itself(plugin: object) -> _Plugin:
    return plugin, ""


def _load(entry_point: metadata.EntryPoint) -> _Plugin:
    """Import a plugin and check that it is made for these hooks."""
    before = "torch" in sys.modules
    with guard("load"):
        try:
            plugin = entry_point.load()
        except ModuleNotFoundError as error:
            if error.name and f"{entry_point.module}.".startswith(f"{error.name}."):
                reason = f"its module {error.name!r} is missing"
                raise Refused("load", reason, _mend_entry_point(entry_point)) from error
            raise
    if "torch" in sys.modules and not before:
        reason = f"{entry_point.module} imports torch, for which every command would wait"
        hint = "What needs torch belongs into modules that its components name as text, or into its callbacks."
        raise Refused("load", reason, hint)
    with guard("api"):
        api = getattr(plugin, "taskkit_api", getattr(sys.modules[entry_point.module], "taskkit_api", None))
        return plugin, _checked_api(api)


def _mend_entry_point(entry_point: metadata.EntryPoint) -> str:
    """What to do where the module of an entry point is not there: its author misspelt it, or its files are gone."""
    owner = info_of(entry_point).distribution
    if folder := own_folder(owner):
        named = f"Its entry point names {entry_point.value}: mend that, or the module's name"
        return f"{named}, and install it again: pip install -e {folder}"
    return f"Install it again: pip install --force-reinstall {owner}"


def _load_file(file: PluginFile) -> _Plugin:
    """Import a file; it may import torch, since only who names it waits for it."""
    with guard("load"):
        try:
            module = load(file)
        except ModuleNotFoundError as error:
            if error.name and any(file.path.parent.glob(f"{error.name.partition('.')[0]}*")):
                hint = "What lies beside the file is not found: write it into the file, or make a package of them."
                raise Refused("load", f"its module {error.name!r} is missing", hint) from error
            raise
    with guard("api"):
        return module, _checked_api(getattr(module, "taskkit_api", None))


def _checked_api(api: object) -> str:
    if api is None:
        return ""
    # Imported late: it takes a tenth of the time in which `taskkit list` is to answer.
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    ours = hookspecs.API_VERSION
    try:
        supported = isinstance(api, str) and SpecifierSet(api).contains(ours, prereleases=True)
    except InvalidSpecifier:
        raise Refused("api", f"taskkit_api is {api!r}, expected a range such as '>={ours},<{_NEXT_API}'") from None
    if not supported:
        hint = f"Install a version of the plugin for API {ours}, or another version of taskkit-ml."
        raise Refused("api", f"it needs taskkit API {api!r}, this is {ours}", hint)
    return str(api)


def _admit(info: PluginInfo, get: Callable[[], _Plugin]) -> Loaded:
    """Load and register one plugin with a manager of its own.

    So a half registration goes with it when it is refused, and a wrapper around a hook wraps only its own.
    """
    began = time.perf_counter()
    plugin, api = get()
    seconds = time.perf_counter() - began
    manager = PluginManager(hookspecs.GROUP)
    manager.add_hookspecs(hookspecs)
    with guard("hooks"):
        _check_hook_names(manager, plugin)
    with guard("register"):
        manager.register(plugin, info.entry_point)
    hooks = tuple(name for name in HOOKS if getattr(manager.hook, name).get_hookimpls())
    return Loaded(manager, api, hooks, seconds)


def _check_hook_names(manager: PluginManager, plugin: object) -> None:
    """Refuse what looks like a hook and is none, and a plugin without any."""
    marked = {name: manager.parse_hookimpl_opts(plugin, name) for name in dir(plugin)}
    implementations = {name: options for name, options in marked.items() if options is not None}
    for name, options in implementations.items():
        hook = options.get("specname") or name
        if hook not in HOOKS and not options.get("optionalhook"):
            hint = did_you_mean(hook, HOOKS).strip() or f"The hooks are {', '.join(HOOKS)}."
            raise Refused("hooks", f"{hook} is not a hook of taskkit", hint)
    for name in marked:
        if name.startswith("taskkit_") and name not in implementations and _is_own_function(plugin, name):
            raise Refused("hooks", f"{name} is not marked as a hook", "Put @taskkit.hookimpl above it.")
    if not implementations:
        what = getattr(plugin, "__name__", type(plugin).__name__)
        raise Refused("hooks", f"{what} is not a plugin: it implements no hook")


def _is_own_function(plugin: object, name: str) -> bool:
    """Whether a name is a function, other than a hook's specification that was imported."""
    value = inspect.getattr_static(plugin, name)
    return inspect.isroutine(value) and not hasattr(value, f"{hookspecs.GROUP}_spec")


def _declared(manager: PluginManager, info: PluginInfo) -> list[Offer]:
    """Call a plugin's declaring hooks once and check what they give."""
    offers = []
    for hook, check in _CHECKS.items():
        for value in call(manager, hook):
            with guard("call", f"{hook}: "):
                kind, name = check(value)
            offers.append(Offer(kind, name, value, info))
    return offers


def _check_component(value: object) -> tuple[str, str]:
    if not isinstance(value, Component):
        raise Refused("call", f"taskkit_components gave {value!r:.80}, expected Components")
    for fault in _faults(value):
        raise Refused("call", f"the component {value.name!r} has the {fault}")
    return value.kind, value.name


def _faults(component: Component) -> Iterator[str]:
    """What is wrong with a component's fields."""
    kind, name, summary = component.kind, component.name, component.summary
    if kind not in KINDS:
        yield f"kind {kind!r}, expected one of {', '.join(KINDS)}"
    if not _is_like(_MODALITY_NAME, name):
        yield f"name {name!r}, expected `modality.name` in small letters"
    if not (isinstance(summary, str) and summary.strip() and summary.isprintable()):
        yield f"summary {summary!r}, expected one line of text"
    references = {"implementation": component.implementation, "section": component.section}
    if component.input or kind != "task":
        references["input"] = component.input
    for label, reference in references.items():
        if not _is_like(_REFERENCE, reference):
            yield f"{label} {reference!r}, expected `package.module:Name`"
    targets = component.targets
    if not (isinstance(targets, tuple) and all(_is_like(_REFERENCE, target) for target in targets)):
        yield f"targets {targets!r}, expected a tuple of `package.module:Name`"
    elif kind == "task" and len(targets) != 1:
        yield f"targets {targets!r}, expected the one that the task judges"
    functions = component.statistics
    if not (isinstance(functions, tuple) and all(_is_like(_REFERENCE, each) for each in functions)):
        yield f"statistics {functions!r}, expected a tuple of `package.module:name`"
    elif functions and kind != "task":
        yield f"statistics {', '.join(functions)}, expected none: a task declares them"
    yield from _metric_faults(component)


def _metric_faults(component: Component) -> Iterator[str]:
    """What is wrong with the metrics that a task declares."""
    metrics = component.metrics
    if not isinstance(metrics, Mapping):
        yield f"metrics {metrics!r:.80}, expected a mapping such as {{'accuracy': 'max'}}"
        return
    if metrics and component.kind != "task":
        yield f"metrics {', '.join(map(str, metrics))}, expected none: a task declares them"
    for metric, direction in metrics.items():
        if not (isinstance(metric, str) and metric) or metric.startswith(("train/", "val/", "test/")):
            yield f"metric {metric!r}, expected a name without its split, such as 'accuracy'"
        elif direction not in ("max", "min"):
            yield f"direction {direction!r} of the metric {metric!r}, expected 'max' or 'min'"


def _is_like(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _check_recipe(value: object) -> tuple[str, str]:
    if not (isinstance(value, RecipeFile) and isinstance(value.name, str) and value.name):
        raise Refused("call", f"taskkit_recipes gave {value!r:.80}, expected RecipeFiles with a name")
    if not Path(value.path).is_file():
        raise Refused("call", f"the recipe {value.name!r} has the path '{value.path}', which is not a file")
    return "recipe", value.name


def _check_command(value: object) -> tuple[str, str]:
    import click

    if not (isinstance(value, click.Command) and value.name):
        raise Refused("call", f"taskkit_commands gave {value!r:.80}, expected click Commands with a name")
    return "command", value.name


_CHECKS = {
    "taskkit_components": _check_component,
    "taskkit_recipes": _check_recipe,
    "taskkit_commands": _check_command,
}
