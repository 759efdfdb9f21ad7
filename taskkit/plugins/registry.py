"""What the plugins declare, as one value to pass along, and why a name that is asked for is not in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from pluggy import PluginManager

from taskkit.configuration import configuration_file
from taskkit.contracts.component import KINDS, Component, Kind, PluginInfo, RecipeFile
from taskkit.contracts.guess import Guess, UserData
from taskkit.errors import PluginError
from taskkit.plugins.guard import PluginProblem, Refused, call
from taskkit.plugins.index import install_advice
from taskkit.plugins.installed import names, normalised
from taskkit.wording import nearest, path_text

if TYPE_CHECKING:
    import click
    from pytorch_lightning import Callback

    from taskkit.contracts.recipe import Recipe


@dataclass(frozen=True)
class Offer:
    """One thing that a plugin declares: a component, a recipe or a command."""

    kind: str
    name: str
    value: Any
    owner: PluginInfo


@dataclass(frozen=True)
class Loaded:
    """A plugin that is in use."""

    manager: PluginManager
    """Its own: a wrapper around a hook wraps only its hooks."""
    api: str
    """The range of APIs that it states; empty: none."""
    hooks: tuple[str, ...]
    """The hooks that it implements."""
    seconds: float
    """What importing it took."""
    sha256: str = ""
    """Of a file: the hash of its content."""

    @property
    def is_file(self) -> bool:
        """Whether it is a file of a project, which was named."""
        return bool(self.sha256)


@dataclass(frozen=True)
class Plugins:
    """What the installed plugins declare, and what is wrong with them."""

    plugins: tuple[PluginInfo, ...] = ()
    """The plugins that are in use."""
    refused: tuple[PluginProblem, ...] = ()
    """Why others are not."""
    off: tuple[PluginInfo, ...] = ()
    """Installed plugins that the allow-list leaves out; they are not even imported."""
    prefer: tuple[str, ...] = ()
    """Plugins, by distribution or entry point, whose things are used where others declare them too; the first first."""
    _all: tuple[Offer, ...] = ()
    _loaded: Mapping[PluginInfo, Loaded] = field(default_factory=dict)

    def preferring(self, names: Sequence[str]) -> Plugins:
        """The same, with plugins that are preferred before all others."""
        return replace(self, prefer=(*names, *self.prefer)) if names else self

    @property
    def problems(self) -> tuple[PluginProblem, ...]:
        """Why plugins are not in use, and what several of them declare without one being preferred."""
        clashes = (claim.problem(info) for claim, owners in self._claims.clashes.values() for info in owners)
        return tuple(dict.fromkeys([*self.refused, *clashes]))

    def clash(self, kind: str, name: str) -> Refused | None:
        """Why nobody's thing of this kind and name is used: several declare it; None: that is not so."""
        found = self._claims.clashes.get((kind, name))
        return None if found is None else found[0]

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
        raise PluginError(self._refusal(kind, name))

    def owner(self, declared: Component | RecipeFile) -> PluginInfo:
        """Return the plugin that declares a component or a recipe; raises KeyError when none does."""
        for offer in self._claims.settled:
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
        for info, loaded in self._loaded.items():
            try:
                callbacks += call(loaded.manager, "taskkit_callbacks", recipe=recipe)
            except Refused as refused:
                problem = refused.problem(info)
                raise PluginError(f"{info} gives no callbacks: {problem.reason}.\n  {problem.hint}") from refused
        return tuple(callbacks)

    def loaded(self, info: PluginInfo) -> Loaded:
        """How a plugin that is in use was found; raises KeyError for any other."""
        return self._loaded[info]

    def used_by(self, recipe: Recipe) -> tuple[PluginInfo, ...]:
        """The plugins that decide something in the run of a recipe: those of its components, those that add callbacks,
        and the files that were named."""
        owners = [chosen.plugin for chosen in recipe.chosen().values()]
        others = [info for info, each in self._loaded.items() if each.is_file or "taskkit_callbacks" in each.hooks]
        return tuple(dict.fromkeys([*owners, *others]))

    def declared(self, info: PluginInfo) -> tuple[Offer, ...]:
        """What a plugin declares, by kind and name."""
        return tuple(offer for offer in self._all if offer.owner == info)

    def guesses(self, data: UserData) -> tuple[tuple[PluginInfo, Guess], ...]:
        """Ask each plugin what a person's data are, the surest first.

        Raises PluginError when one of them fails, or says what is no Guess.
        """
        found: list[tuple[PluginInfo, Guess]] = []
        for info, loaded in self._loaded.items():
            try:
                given = call(loaded.manager, "taskkit_recognise", data=data)
                if wrong := [each for each in given if not isinstance(each, Guess)]:
                    raise Refused("call", f"taskkit_recognise gave {wrong[0]!r:.80}, expected Guesses")
            except Refused as refused:
                problem = refused.problem(info)
                raise PluginError(
                    f"{info} cannot look at {data.path}: {problem.reason}.\n  {problem.hint}"
                ) from refused
            found += [(info, guess) for guess in given]
        return tuple(sorted(found, key=lambda each: -each[1].fits))

    @property
    def broken(self) -> tuple[PluginProblem, ...]:
        """Why installed plugins are not in use that are not switched off; what they bring is not known."""
        return tuple(
            problem for problem in self.problems if problem.distribution and problem.plugin not in self.plugins
        )

    def _of(self, *kinds: str) -> Iterator[Offer]:
        return (offer for offer in self._claims.settled if offer.kind in kinds)

    @cached_property
    def _claims(self) -> _Claims:
        return _settle(self._all, self.prefer)

    def _refusal(self, kind: Kind, name: str) -> str:
        """Say why there is no such component: it is claimed twice, its plugin is broken or off, or none has it."""
        if clash := self.clash(kind, name):
            return f"{name} cannot be used: {clash.reason}.\n  {clash.hint}"
        near = _nearest(name, [offer.name for offer in self._of(kind)])
        modality = name.partition(".")[0]
        unusable = self._unusable(modality)
        # Several plugins may share a modality: a slip of the finger is not the fault of a broken one.
        if unusable and not near.startswith(f"{modality}."):
            return f"{name} cannot be used: {unusable}"
        return self._missing(kind, name, near)

    def _unusable(self, modality: str) -> str:
        """Why a plugin that may bring this modality is not in use; else an empty string."""
        for problem in self.problems:
            if _brings(problem.plugin, modality) and problem.plugin not in self.plugins:
                return str(problem)
        for info in self.off:
            if _brings(info, modality):
                return (
                    f"the plugin {info.entry_point!r} ({info}) is switched off.\n  Add it to TASKKIT_PLUGINS or "
                    f"plugins.allow of {path_text(configuration_file())}, or leave out --no-plugins."
                )
        return ""

    def _missing(self, kind: Kind, name: str, near: str) -> str:
        """Say that there is no such component, and what comes near."""
        others = [offer.kind for offer in self._of(*KINDS) if offer.name == name]
        sentences = [f"{name!r} is of kind {others[0]}, not {kind}." if others else f"No {kind} named {name!r}."]
        if near:
            sentences.append(f"Did you mean {near!r}?")
        modality, dot, _ = name.partition(".")
        installed = {info.entry_point for info in self.plugins}
        installed |= {offer.name.partition(".")[0] for offer in self._of(*KINDS)}
        if dot and modality not in installed and not nearest(modality, installed):
            sentences.append(f"No plugin named {modality!r} is installed.\n  {install_advice(modality)}")
        elif not near:
            sentences.append(f"`taskkit list {kind if kind == 'data' else kind + 's'}` shows what there is.")
        return " ".join(sentences)


class _Claims(NamedTuple):
    """What is declared, by whose word it holds."""

    settled: tuple[Offer, ...]
    clashes: Mapping[tuple[str, str], tuple[Refused, tuple[PluginInfo, ...]]]
    """By kind and name: why nobody's holds, and who declares it."""


def _settle(offers: Iterable[Offer], prefer: Sequence[str]) -> _Claims:
    """Let each thing be that of the only one who declares it, or of the one who is preferred."""
    claims: dict[tuple[str, str], list[Offer]] = {}
    for offer in offers:
        claims.setdefault((offer.kind, offer.name), []).append(offer)
    winners = {key: _winner(rivals, prefer) for key, rivals in claims.items()}
    clashes = {
        key: (_clash(*key, owners), owners)
        for key, rivals in claims.items()
        if winners[key] is None and (owners := tuple(dict.fromkeys(rival.owner for rival in rivals)))
    }
    return _Claims(tuple(winner for winner in winners.values() if winner is not None), clashes)


def _winner(rivals: Sequence[Offer], prefer: Sequence[str]) -> Offer | None:
    """The only offer, or that of the first preferred plugin which makes one; a plugin may not make two."""
    if len(rivals) == 1:
        return rivals[0]
    for name in prefer:
        preferred = [rival for rival in rivals if normalised(name) in names(rival.owner)]
        if preferred:
            return preferred[0] if len(preferred) == 1 else None
    return None


def _clash(kind: str, name: str, owners: Sequence[PluginInfo]) -> Refused:
    """Say who declares a thing more than once: an author can rename it, a user can choose between plugins."""
    first, *others = dict.fromkeys(map(str, owners))
    if not others:
        return Refused(
            "clash",
            f"{first} declares the {kind} {name!r} twice",
            "Its authors must rename one of them. Until then, try another version of it.",
        )
    choice = f"`plugins: {{prefer: [{owners[0].distribution}]}}`"
    # A recipe is found before it can say anything, and a verb without one.
    place = f"{'in the recipe, or ' if kind in KINDS else ''}in {path_text(configuration_file())}"
    return Refused(
        "clash",
        f"{' and '.join([first, *others])} {'both' if len(others) == 1 else 'all'} declare the {kind} {name!r}",
        f"Choose one, as by {choice} {place}; or uninstall the other.",
    )


def _brings(info: PluginInfo, modality: str) -> bool:
    """Whether a plugin that is not loaded goes by the name of a modality."""
    return modality in (info.entry_point, info.distribution.removeprefix("taskkit-"))


def _nearest(name: str, names: Sequence[str]) -> str:
    """The component that was probably meant, of the same modality if that is one; else an empty string."""
    modality, _, own = name.rpartition(".")
    full_names = {full.rpartition(".")[2]: full for full in names if full.startswith(f"{modality}.") or not modality}
    near = nearest(own, full_names)
    return full_names[near] if near else nearest(name, names, cutoff=0.8)
