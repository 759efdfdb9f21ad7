"""Facts as plain data, as checkpoints and exported folders hold them, and made again of declared types alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from taskkit.contracts.component import Component, load
from taskkit.contracts.facts import Catalogue, DataSpec, Fact, Origin
from taskkit.errors import CheckpointError
from taskkit.wording import without_stop

FindFact = Callable[[str], type[Fact]]
"""Gives the type of a fact by its reference."""


def pack(spec: DataSpec) -> dict[str, Any]:
    """The facts as plain data, with the public path of each type."""
    return {
        "input": _pack_fact(spec.input),
        "target": _pack_fact(spec.target),
        "fingerprint": spec.fingerprint,
        "origins": [dataclasses.asdict(origin) for origin in spec.origins],
        "protocol": dict(spec.protocol),
    }


def unpack(
    packed: Mapping[str, Any], find: FindFact, names: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> DataSpec:
    """The facts again, their types as `find` gives them by reference.

    A catalogue has its names again where these are among `names`, by its hash.
    """
    unpacked = _Unpacking(find, names)
    return DataSpec(
        input=unpacked.fact(packed["input"]),
        target=unpacked.fact(packed["target"]),
        fingerprint=packed["fingerprint"],
        origins=tuple(Origin(**origin) for origin in packed["origins"]),
        protocol=packed["protocol"],
    )


def declared_facts(components: Iterable[Component]) -> FindFact:
    """Find types of facts that an installed component declares, and taskkit's own, also by the names of 0.1.

    Nothing else is imported on behalf of a checkpoint: raises CheckpointError for a type that none declares.
    """
    declared = sorted({reference for each in components for reference in (each.input, *each.targets) if reference})

    def find(reference: str) -> type[Fact]:
        module, _, name = reference.partition(":")
        # taskkit's other names are functions too, which a checkpoint must not call.
        if module.partition(".")[0] == "taskkit" and (own := _fact(f"taskkit:{name}")) is not None:
            return own
        for known in declared:
            if known == reference or (known.partition(":")[2] == name and _reference(known) == reference):
                try:
                    return cast(type[Fact], load(known))
                except Exception as error:  # Another plugin's code.
                    raise CheckpointError(
                        f"The checkpoint's facts are of the type {reference}, which cannot be imported "
                        f"({type(error).__name__}: {without_stop(str(error))}). Install the plugins that the run's "
                        "manifest names."
                    ) from error
        # The facts inside a Record need no component of their own where they stand beside one that is declared.
        if module in {known.partition(":")[0] for known in declared} and (found := _fact(reference)) is not None:
            return found
        raise CheckpointError(
            f"The checkpoint's facts are of the type {reference}, which no installed plugin declares. "
            "Install the plugins that the run's manifest names."
        )

    return find


def _fact(reference: str) -> type[Fact] | None:
    try:
        found = load(reference)
    except Exception:  # Another plugin's code.
        return None
    return found if isinstance(found, type) and issubclass(found, Fact) else None


def stated_facts(spec: DataSpec) -> FindFact:
    """Find the types of the facts of a spec, nested ones too."""
    return {
        type(fact).reference(): type(fact) for side in (spec.input, spec.target) for fact in _nested(side)
    }.__getitem__


def references(spec: DataSpec) -> list[str]:
    """The references of all facts of a spec, nested ones too."""
    return [type(fact).reference() for side in (spec.input, spec.target) for fact in _nested(side)]


def catalogues(spec: DataSpec) -> dict[str, Sequence[str]]:
    """The names of all catalogues in the facts of a spec, by their hash."""
    facts = [fact for side in (spec.input, spec.target) for fact in _nested(side)]
    values = [getattr(fact, each.name) for fact in facts for each in dataclasses.fields(fact)]
    return {value.sha256: list(value) for value in values if isinstance(value, Catalogue)}


def _nested(value: Any) -> Iterator[Fact]:
    if isinstance(value, Fact):
        yield value
        for each in dataclasses.fields(value):
            yield from _nested(getattr(value, each.name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _nested(item)


def _pack_fact(fact: Fact) -> dict[str, Any]:
    fields = {each.name: _pack_value(getattr(fact, each.name)) for each in dataclasses.fields(fact)}
    return {"type": type(fact).reference(), "fields": fields}


def _pack_value(value: Any) -> Any:
    if isinstance(value, Fact):
        return {"fact": _pack_fact(value)}
    if isinstance(value, Catalogue):
        return {"catalogue": [value.size, value.sha256]}
    if isinstance(value, Mapping):
        return {"mapping": {name: _pack_value(item) for name, item in value.items()}}
    return value


@dataclasses.dataclass(frozen=True)
class _Unpacking:
    """Makes facts of plain data."""

    find: FindFact
    names: Mapping[str, Sequence[str]]

    def fact(self, packed: Mapping[str, Any]) -> Fact:
        fields = {name: self.value(value) for name, value in packed["fields"].items()}
        return self.find(packed["type"])(**fields)

    def value(self, value: Any) -> Any:
        if isinstance(value, dict) and len(value) == 1:
            ((kind, inside),) = value.items()
            if kind == "fact":
                return self.fact(inside)
            if kind == "catalogue":
                return Catalogue(self.names.get(inside[1]), *inside)
            if kind == "mapping":
                return {name: self.value(item) for name, item in inside.items()}
        return tuple(map(self.value, value)) if isinstance(value, list | tuple) else value


def _reference(declared: str) -> str:
    """The canonical path of a declared fact; empty when it cannot be imported."""
    try:
        reference: str = load(declared).reference()
    except Exception:  # Another plugin's code.
        return ""
    return reference
