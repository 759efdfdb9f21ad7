"""Guarded discovery: a broken plugin is a reported problem, never a crash nor another plugin's trouble."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pluggy import PluginManager

from taskkit.contracts import hookspecs
from taskkit.contracts.component import KINDS, Component, Kind, RecipeFile
from taskkit.errors import PluginError

if TYPE_CHECKING:
    import click
    from pytorch_lightning import Callback

    from taskkit.contracts.recipe import Recipe

Stage = Literal["metadata", "allow", "clash", "load", "api", "register", "hooks", "call"]
"""Where discovery stopped: reading the package's metadata, the allow-list, a name that two plugins claim,
importing, the range of `taskkit_api`, registering, the names of the hooks, or what they gave when called."""

HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("taskkit_"))
_MODALITY_NAME = re.compile(r"[a-z][a-z0-9_-]*\.[a-z0-9][a-z0-9_-]*")
_REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


@dataclass(frozen=True)
class PluginInfo:
    """A plugin: the distribution that brings it, its version, and the name of its entry point."""

    distribution: str
    version: str
    entry_point: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".strip() or self.entry_point


@dataclass(frozen=True)
class PluginProblem:
    """Why a plugin, or one thing that it declares, cannot be used, and what to do."""

    distribution: str
    version: str
    entry_point: str
    stage: Stage
    reason: str
    hint: str

    @property
    def plugin(self) -> PluginInfo:
        """The plugin concerned."""
        return PluginInfo(self.distribution, self.version, self.entry_point)

    def __str__(self) -> str:
        return f"{self.plugin} failed to load ({self.reason}).\n  {self.hint}"


@dataclass(frozen=True)
class _Offer:
    """One thing that a plugin declares: a component, a recipe or a command."""

    kind: str
    name: str
    value: Any
    owner: PluginInfo


@dataclass(frozen=True)
class Plugins:
    """What the installed plugins declare, and what is wrong with them; a value to pass along."""

    plugins: tuple[PluginInfo, ...] = ()
    """The plugins that are in use."""
    problems: tuple[PluginProblem, ...] = ()
    off: tuple[PluginInfo, ...] = ()
    """Installed plugins that the allow-list leaves out; they are not even imported."""
    _offers: tuple[_Offer, ...] = ()
    _clashes: Mapping[tuple[str, str], PluginProblem] = field(default_factory=dict)
    _managers: Mapping[PluginInfo, PluginManager] = field(default_factory=dict)

    @property
    def components(self) -> tuple[Component, ...]:
        """Every component, sorted by kind and name."""
        offers = sorted(self._of(*KINDS), key=lambda offer: (KINDS.index(offer.value.kind), offer.name))
        return tuple(offer.value for offer in offers)

    def find(self, kind: Kind, name: str) -> Component:
        """Return the component of this kind and name.

        Raises PluginError, which says what is near, in which plugin the trouble is, or what to install.
        """
        for offer in self._of(kind):
            if offer.name == name:
                component: Component = offer.value
                return component
        raise PluginError(self._refusal(kind, name) or self._missing(kind, name))

    def owner(self, declared: Component | RecipeFile) -> PluginInfo:
        """Return the plugin that declares a component or a recipe; raises KeyError when none does."""
        for offer in self._offers:
            if offer.value == declared:
                return offer.owner
        raise KeyError(declared)

    def recipes(self) -> tuple[RecipeFile, ...]:
        """Return the recipes shipped inside plugins, sorted by name."""
        return tuple(offer.value for offer in sorted(self._of("recipe"), key=lambda offer: offer.name))

    def commands(self) -> tuple[click.Command, ...]:
        """Return the commands that plugins add, sorted by name."""
        return tuple(offer.value for offer in sorted(self._of("command"), key=lambda offer: offer.name))

    def callbacks(self, recipe: Recipe) -> tuple[Callback, ...]:
        """Ask each plugin for its Lightning callbacks; raises PluginError when one cannot give them."""
        callbacks: list[Callback] = []
        for info, manager in self._managers.items():
            try:
                callbacks += _call(manager, "taskkit_callbacks", recipe=recipe)
            except _Refused as refused:
                problem = refused.problem(info)
                raise PluginError(f"{info} gives no callbacks: {problem.reason}.\n  {problem.hint}") from refused
        return tuple(callbacks)

    def _of(self, *kinds: str) -> Iterator[_Offer]:
        return (offer for offer in self._offers if offer.kind in kinds)

    def _refusal(self, kind: Kind, name: str) -> str:
        """Say why a component that a plugin has, or may have, cannot be used; else an empty string."""
        if clash := self._clashes.get((kind, name)):
            return f"{name} cannot be used: {clash.reason}.\n  {clash.hint}"
        modality = name.partition(".")[0]
        for problem in self.problems:
            if problem.entry_point == modality and problem.plugin not in self.plugins:
                return f"{name} cannot be used: {problem}"
        for info in self.off:
            if info.entry_point == modality:
                return (
                    f"{name} cannot be used: the plugin {modality!r} ({info}) is switched off.\n"
                    "  Add it to TASKKIT_PLUGINS, or leave out --no-plugins."
                )
        return ""

    def _missing(self, kind: Kind, name: str) -> str:
        """Say that there is no such component, and what comes near."""
        others = [offer.kind for offer in self._of(*KINDS) if offer.name == name]
        said = [f"{name!r} is of kind {others[0]}, not {kind}." if others else f"No {kind} named {name!r}."]
        near = _nearest_component(name, [offer.name for offer in self._of(kind)])
        if near:
            said.append(f"Did you mean {near!r}?")
        modality, dot, _ = name.partition(".")
        installed = {info.entry_point for info in self.plugins}
        installed |= {offer.name.partition(".")[0] for offer in self._of(*KINDS)}
        if dot and modality not in installed and not _nearest(modality, installed):
            said.append(f"No plugin named {modality!r} is installed.\n  Try: pip install taskkit-{modality}")
        elif not near:
            said.append(f"`taskkit list {kind if kind == 'data' else kind + 's'}` shows what there is.")
        return " ".join(said)


def from_environment(no_plugins: bool = False) -> Plugins:
    """Discover what `TASKKIT_PLUGINS` allows: entry-point names with commas; empty: none; not set: all."""
    allowed = "" if no_plugins else os.environ.get("TASKKIT_PLUGINS")
    if allowed is None:
        return discover()
    return discover([name.strip() for name in allowed.split(",") if name.strip()])


def discover(allow: Collection[str] | None = None, extra: Mapping[str, object] | None = None) -> Plugins:
    """Load the installed plugins that `allow` names, by default all, and ask them what they declare.

    `extra` are plugin objects by entry-point name, for tests and notebooks; `allow` does not concern them. A
    plugin is in as a whole or out as a whole, and nothing is raised on account of one.
    """
    candidates, problems = _candidates()
    off = [info for info, _ in candidates if allow is not None and info.entry_point not in allow]
    problems += _not_installed(allow or (), [info.entry_point for info, _ in candidates])
    wanted = [(info, load) for info, load in candidates if info not in off]
    wanted += [(PluginInfo(name, "", name), partial(_itself, plugin)) for name, plugin in (extra or {}).items()]

    managers: dict[PluginInfo, PluginManager] = {}
    offers: list[_Offer] = []
    # What a plugin prints while it is loaded must not get into `taskkit list --json`.
    with contextlib.redirect_stdout(sys.stderr):
        for info, load in wanted:
            try:
                _refuse_rivals(info, [rival for rival, _ in wanted])
                manager = _admit(info, load)
                offers += _declared(manager, info)
                managers[info] = manager
            except _Refused as refused:
                problems.append(refused.problem(info))
    clashes = _clashes(offers)
    return Plugins(
        plugins=tuple(managers),
        problems=(*problems, *(problem for both in clashes.values() for problem in both)),
        off=tuple(off),
        _offers=tuple(offer for offer in offers if (offer.kind, offer.name) not in clashes),
        _clashes={key: both[0] for key, both in clashes.items()},
        _managers=managers,
    )


class _Refused(Exception):
    """A plugin that cannot be let in."""

    def __init__(self, stage: Stage, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.stage, self.reason, self.hint = stage, reason, hint

    def problem(self, info: PluginInfo) -> PluginProblem:
        hint = self.hint or f"Tell the authors of {info.distribution}, or: pip uninstall {info.distribution}"
        return PluginProblem(info.distribution, info.version, info.entry_point, self.stage, self.reason, hint)


@contextlib.contextmanager
def _guard(stage: Stage, where: str = "") -> Iterator[None]:
    """Turn whatever a plugin's code raises, and its attempts to leave, into a refusal."""
    try:
        yield
    except _Refused:
        raise
    except (Exception, SystemExit) as error:
        message = " ".join(str(error).split())
        reason = f"{where}{type(error).__name__}{': ' if message else ''}{message}"
        raise _Refused(stage, reason, _install_hint(error)) from error


def _install_hint(error: BaseException) -> str:
    """What to install when a module is missing; nothing when it is only a part of something installed."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    package = error.name.partition(".")[0]
    return "" if util.find_spec(package) else f"Try: pip install {package}"


_Candidate = tuple[PluginInfo, Callable[[], object]]


def _candidates() -> tuple[list[_Candidate], list[PluginProblem]]:
    """Every installed plugin, not yet loaded, and the packages whose metadata cannot be read."""
    problems: list[PluginProblem] = []
    try:
        found: Iterable[metadata.EntryPoint] = metadata.entry_points(group=hookspecs.GROUP)
    except Exception:  # One package's malformed metadata; the slow way finds out which.
        found, problems = _readable_entry_points()
    candidates = [(_info(entry_point), partial(_load, entry_point)) for entry_point in found]
    return sorted(candidates, key=lambda candidate: (candidate[0].entry_point, str(candidate[0]))), problems


def _readable_entry_points() -> tuple[list[metadata.EntryPoint], list[PluginProblem]]:
    found: list[metadata.EntryPoint] = []
    problems: list[PluginProblem] = []
    # As on import, the first of two distributions of one name hides the other.
    distributions = {str(dist.name): dist for dist in reversed([*metadata.distributions()])}
    for name, dist in distributions.items():
        try:
            with _guard("metadata", "entry_points.txt: "):
                found += dist.entry_points.select(group=hookspecs.GROUP)
        except _Refused as refused:
            problems.append(refused.problem(PluginInfo(name, dist.version, "")))
    return found, problems


def _info(entry_point: metadata.EntryPoint) -> PluginInfo:
    dist = entry_point.dist
    if dist is None:
        return PluginInfo("unknown", "", entry_point.name)
    return PluginInfo(dist.name or "unknown", dist.version or "", entry_point.name)


def _not_installed(allow: Collection[str], installed: Sequence[str]) -> list[PluginProblem]:
    """Allowed names that no installed plugin has."""
    problems = []
    for name in allow:
        if name not in installed:
            near = _nearest(name, installed)
            hint = f"Did you mean {near!r}?" if near else f"Try: pip install taskkit-{name}"
            problems.append(PluginProblem("", "", name, "allow", f"no plugin named {name!r} is installed", hint))
    return problems


def _refuse_rivals(info: PluginInfo, all_wanted: Sequence[PluginInfo]) -> None:
    """Let neither of two plugins of one name win."""
    rivals = [str(other) for other in all_wanted if other.entry_point == info.entry_point]
    if len(rivals) > 1:
        reason = f"{' and '.join(rivals)} both declare the entry point {info.entry_point!r}"
        raise _Refused("clash", reason, "Uninstall one of them.")


def _itself(plugin: object) -> object:
    return plugin


def _load(entry_point: metadata.EntryPoint) -> object:
    """Import a plugin and check that it is made for these hooks."""
    with _guard("load"):
        try:
            plugin = entry_point.load()
        except ModuleNotFoundError as error:
            if error.name and f"{entry_point.module}.".startswith(f"{error.name}."):
                raise _Refused("load", f"its module {error.name!r} is missing", "Install it again.") from error
            raise
    with _guard("api"):
        api = getattr(plugin, "taskkit_api", getattr(sys.modules[entry_point.module], "taskkit_api", None))
        _refuse_other_api(api)
    return plugin


def _refuse_other_api(api: object) -> None:
    if api is None:
        return
    # Imported late: it takes a tenth of the time in which `taskkit list` is to answer.
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    ours = hookspecs.API_VERSION
    try:
        supported = isinstance(api, str) and SpecifierSet(api).contains(ours, prereleases=True)
    except InvalidSpecifier:
        raise _Refused("api", f"taskkit_api is {api!r}, expected a range such as '>={ours},<1'") from None
    if not supported:
        hint = f"Install a version of the plugin for API {ours}, or another version of taskkit-ml."
        raise _Refused("api", f"it needs taskkit API {api!r}, this is {ours}", hint)


def _admit(info: PluginInfo, load: Callable[[], object]) -> PluginManager:
    """Load and register one plugin with a manager of its own.

    So a half registration goes with it when it is refused, and a wrapper around a hook wraps only its own.
    """
    plugin = load()
    manager = PluginManager(hookspecs.GROUP)
    manager.add_hookspecs(hookspecs)
    with _guard("hooks"):
        _check_hook_names(manager, plugin)
    with _guard("register"):
        manager.register(plugin, info.entry_point)
    return manager


def _check_hook_names(manager: PluginManager, plugin: object) -> None:
    """Refuse what looks like a hook and is none, and a plugin without any."""
    marked = {name: manager.parse_hookimpl_opts(plugin, name) for name in dir(plugin)}
    implementations = {name: options for name, options in marked.items() if options is not None}
    for name, options in implementations.items():
        hook = options.get("specname") or name
        if hook not in HOOKS and not options.get("optionalhook"):
            near = _nearest(hook, HOOKS)
            hint = f"Did you mean {near!r}?" if near else f"The hooks are {', '.join(HOOKS)}."
            raise _Refused("hooks", f"{hook} is not a hook of taskkit", hint)
    for name in marked:
        if name.startswith("taskkit_") and name not in implementations and _is_own_function(plugin, name):
            raise _Refused("hooks", f"{name} is not marked as a hook", "Put @taskkit.hookimpl above it.")
    if not implementations:
        what = getattr(plugin, "__name__", type(plugin).__name__)
        raise _Refused("hooks", f"{what} is not a plugin: it implements no hook")


def _is_own_function(plugin: object, name: str) -> bool:
    """Whether a name is a function, other than a hook's specification that was imported."""
    value = inspect.getattr_static(plugin, name)
    return inspect.isroutine(value) and not hasattr(value, f"{hookspecs.GROUP}_spec")


def _declared(manager: PluginManager, info: PluginInfo) -> list[_Offer]:
    """Call a plugin's declaring hooks once and check what they give."""
    offers = []
    for hook, check in _CHECKS.items():
        for value in _call(manager, hook):
            with _guard("call", f"{hook}: "):
                kind, name = check(value)
            offers.append(_Offer(kind, name, value, info))
    return offers


def _call(manager: PluginManager, hook: str, **arguments: Any) -> list[Any]:
    """Everything that one plugin gives for a hook."""
    caller = getattr(manager.hook, hook)
    given: list[Any] = []
    with _guard("call", f"{hook}: "):
        results = caller(**arguments)
        if caller.get_hookimpls() and not results:
            raise _Refused("call", f"{hook} returned None, expected an iterable")
        for result in results:
            if isinstance(result, str | bytes) or not isinstance(result, Iterable):
                raise _Refused("call", f"{hook} returned {result!r:.80}, expected an iterable")
            given += result
    return given


def _check_component(value: object) -> tuple[str, str]:
    if not isinstance(value, Component):
        raise _Refused("call", f"taskkit_components gave {value!r:.80}, expected Components")
    for fault in _faults(value):
        raise _Refused("call", f"the component {value.name!r} has the {fault}")
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


def _is_like(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _check_recipe(value: object) -> tuple[str, str]:
    if not (isinstance(value, RecipeFile) and isinstance(value.name, str) and value.name):
        raise _Refused("call", f"taskkit_recipes gave {value!r:.80}, expected RecipeFiles with a name")
    if not Path(value.path).is_file():
        raise _Refused("call", f"the recipe {value.name!r} has the path '{value.path}', which is not a file")
    return "recipe", value.name


def _check_command(value: object) -> tuple[str, str]:
    import click

    if not (isinstance(value, click.Command) and value.name):
        raise _Refused("call", f"taskkit_commands gave {value!r:.80}, expected click Commands with a name")
    return "command", value.name


_CHECKS = {
    "taskkit_components": _check_component,
    "taskkit_recipes": _check_recipe,
    "taskkit_commands": _check_command,
}


def _clashes(offers: Iterable[_Offer]) -> dict[tuple[str, str], list[PluginProblem]]:
    """What is declared more than once, by kind and name: one problem for each plugin concerned."""
    owners: dict[tuple[str, str], list[PluginInfo]] = {}
    for offer in offers:
        owners.setdefault((offer.kind, offer.name), []).append(offer.owner)
    clashes = {}
    for (kind, name), claimants in owners.items():
        if len(claimants) > 1:
            reason = f"{' and '.join(map(str, claimants))} both declare the {kind} {name!r}"
            refused = _Refused("clash", reason, "Uninstall one of them, or name the other in TASKKIT_PLUGINS.")
            clashes[kind, name] = [refused.problem(info) for info in dict.fromkeys(claimants)]
    return clashes


def _nearest_component(name: str, names: Sequence[str]) -> str:
    """The component that was probably meant, of the same modality if that is one."""
    modality, _, own = name.rpartition(".")
    full_names = {full.rpartition(".")[2]: full for full in names if full.startswith(f"{modality}.") or not modality}
    near = _nearest(own, full_names)
    return full_names[near] if near else _nearest(name, names, cutoff=0.8)


def _nearest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """The name that was probably meant, or an empty string."""
    return next(iter(difflib.get_close_matches(name, sorted(names), n=1, cutoff=cutoff)), "")
