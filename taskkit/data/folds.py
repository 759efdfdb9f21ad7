"""Cross-validation: all examples of some data cut into parts, each of which is the test once."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import PurePath
from typing import Any

from taskkit.contracts.facts import Classes, DataSpec, Example, Fact, Split, Values
from taskkit.data.splits import Picked, hash_fraction
from taskkit.errors import DataError


@dataclass(frozen=True)
class Look:
    """What decides in which fold an example is."""

    id: str
    group: str | None
    kind: Hashable
    """Its class, or None: folds have as many of each kind."""
    digest: str | None = None
    """Equal for inputs that are the same; None: it cannot be compared."""


def fold_numbers(looks: Sequence[Look], folds: int) -> list[int]:
    """The fold of each example: decided by ids and copies alone, alike in size, and in the classes that they have.

    Copies of one input are in one fold. Where examples have groups, a group is in one fold, with all copies of what is
    in it. Folds are alike in size as far as that goes.
    """
    units = _units(looks)
    if any(look.group is not None for look in looks):
        return _grouped(looks, units, folds)
    # Of copies the one that comes first in the order of hashes, which is no order of the file.
    members = defaultdict[int, list[int]](list)
    for number in sorted(range(len(looks)), key=lambda each: hash_fraction(looks[each].id)):
        members[units[number]].append(number)
    kinds = defaultdict[Hashable, list[list[int]]](list)
    for together in members.values():
        kinds[looks[together[0]].kind].append(together)
    found, place = [0] * len(looks), 0
    for kind in sorted(kinds, key=str):
        # From kind to kind the count goes on, so that folds differ in size by one at most.
        for together in kinds[kind]:
            for number in together:
                found[number] = place % folds
            place += 1
    return found


def _units(looks: Sequence[Look]) -> list[int]:
    """For each example the first of those that it must not be parted from, by group or by input."""
    above = [*range(len(looks))]

    def first(number: int) -> int:
        while above[number] != number:
            above[number] = above[above[number]]
            number = above[number]
        return number

    known = dict[tuple[str, str], int]()
    for number, look in enumerate(looks):
        for key in (("group", look.group), ("input", look.digest)):
            if key[1] is not None:
                one, other = first(number), first(known.setdefault((key[0], key[1]), number))
                above[max(one, other)] = min(one, other)
    return [first(number) for number in range(len(looks))]


def _grouped(looks: Sequence[Look], units: Sequence[int], folds: int) -> list[int]:
    """The largest groups first, each into the smallest fold."""
    names = dict[int, str]()
    for look, unit in zip(looks, units, strict=True):
        name = f"group {look.group}" if look.group is not None else f"example {look.id}"
        names[unit] = min(names.get(unit, name), name)
    sizes, filled, where = Counter(units), [0] * folds, dict[int, int]()
    for unit in sorted(sizes, key=lambda each: (-sizes[each], hash_fraction(names[each]))):
        where[unit] = min(range(folds), key=lambda fold: filled[fold])
        filled[where[unit]] += sizes[unit]
    return [where[unit] for unit in units]


def cut(
    spec: DataSpec, splits: Mapping[Split, Sequence[Example]], folds: int, fold: int, *, validated: bool, name: str
) -> tuple[DataSpec, Mapping[Split, Sequence[Example]]]:
    """All examples of some data anew: one fold is the test, the next one validation if `validated`, the rest training.

    What the spec says of the training targets is of the new ones. Raises DataError, which names the data, where
    examples of several splits have one id, or a fold would be empty.
    """
    parts = [splits[split] for split in splits]
    looks = [_look(example, spec.target) for part in parts for example in part]
    twice = [each for each, count in Counter(look.id for look in looks).items() if count > 1]
    if twice:
        raise DataError(
            f"loader.folds is {folds}, but examples of several splits of {name} have one id, such as {twice[0]!r}: "
            "they are not examples apart, of which any could be held out. Set it to null."
        )
    groups = len({*_units(looks)})
    if groups < folds:
        raise DataError(
            f"loader.folds is {folds}, but {name} has {groups} examples, or groups and copies of them. Expected at "
            "least as many. Set it lower."
        )
    where = fold_numbers(looks, folds)
    held = {fold: "test", (fold + 1) % folds: "val" if validated else "train"}
    numbers = defaultdict[str, list[int]](list)
    for number, each in enumerate(where):
        numbers[held.get(each, "train")].append(number)
    made: dict[Split, Sequence[Example]] = {
        "train": Picked(parts, numbers["train"]),
        "val": Picked(parts, numbers["val"]),
        "test": Picked(parts, numbers["test"]),
    }
    said = f"{spec.fingerprint} fold {fold} of {folds}{'' if validated else ', not validated'}"
    return (
        replace(
            spec,
            target=_target(spec.target, made["train"]),
            fingerprint=f"sha256:{hashlib.sha256(said.encode()).hexdigest()}",
            protocol={**spec.protocol, "folds": folds, "fold": fold, "of": spec.fingerprint},
        ),
        made,
    )


def _look(example: Example, target: Fact) -> Look:
    kind = example.target if isinstance(target, Classes) else None
    return Look(example.id, example.group, kind, _digest(example.input))


def _digest(value: Any) -> str | None:
    """What is equal for equal inputs; None for what has no content that could be compared."""
    made = hashlib.blake2b(digest_size=16)
    return made.hexdigest() if value is not None and _fed(made, value) else None


def _fed(made: hashlib.blake2b, value: Any) -> bool:
    """Whether a value could be put into a digest."""
    if isinstance(value, Mapping):
        return all(_fed(made, each) for item in sorted(value.items(), key=lambda item: str(item[0])) for each in item)
    if isinstance(value, list | tuple):
        made.update(f"{len(value)} of ".encode())
        return all(_fed(made, each) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        return all(_fed(made, getattr(value, field.name)) for field in fields(value))
    if isinstance(value, str | bytes | int | float | bool | None):
        content = value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")
        made.update(f"{type(value).__name__} {len(content)} ".encode() + content)
        return True
    if isinstance(value, PurePath):
        return _fed(made, str(value))
    if hasattr(value, "__array__"):
        array = value.__array__()
        made.update(f"{array.dtype} {array.shape} ".encode() + array.tobytes())
        return not array.dtype.hasobject
    return False


def _target(target: Fact, train: Sequence[Example]) -> Fact:
    """The fact of the targets, with what it says of those that are trained on."""
    if isinstance(target, Classes) and target.counts:
        counts = Counter(example.target for example in train)
        return replace(target, counts=tuple(counts[number] for number in range(len(target.names))))
    if isinstance(target, Values) and target.means:
        found = Values.of([example.target for example in train], target.names)
        return replace(target, means=found.means, deviations=found.deviations)
    return target
