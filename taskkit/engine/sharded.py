"""The data of a recipe written into shards, and read from them in place of what its data module would fetch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from taskkit.contracts.component import Chosen, Component
from taskkit.contracts.data import DataModule, Prepared, Stream
from taskkit.contracts.facts import Example, Fact, Split
from taskkit.contracts.recipe import Recipe
from taskkit.contracts.settings import settings, to_plain
from taskkit.errors import CheckpointError, DataError, TaskkitError
from taskkit.runs import packing
from taskkit.shards import index, read, write
from taskkit.shards.index import About, Index
from taskkit.shards.place import Place
from taskkit.shards.values import Types


def pack(
    recipe: Recipe, prepared: Prepared, judged: type[Fact], url: str, shard_size: int, progress: write.Progress
) -> Index:
    """Write the examples that a recipe's data module prepared for tasks that judge such a fact.

    Raises TaskkitError for data that are to be encrypted, which shards are not, and for streams.
    """
    if recipe.privacy.encrypt:
        raise TaskkitError(
            "privacy.encrypt is true, but shards are not encrypted. Set it to false for packing, and keep the shards "
            "where the data may lie, or train from the data as they are."
        )
    splits: dict[Split, Sequence[Example]] = {}
    for split, examples in prepared.splits.items():
        if isinstance(examples, Stream):
            raise TaskkitError(
                f"{recipe.data.name}: its {split} split is a stream. Examples that can be counted were expected. Train "
                "from the stream as it comes."
            )
        splits[split] = examples
    spec = prepared.spec
    data = {"name": recipe.data.name, **_plain(recipe.data)}
    about = About(data, judged.reference(), packing.pack(spec), packing.catalogues(spec))
    return write.write(Place(url), splits, about, _types(recipe), shard_size, progress)


def prepare(recipe: Recipe, module: DataModule, judged: type[Fact], components: Iterable[Component]) -> Prepared:
    """What `loader.shards` hold, where the recipe's data were packed for such a task.

    `components` are those that may declare the facts. Raises DataError for shards that are not whole or of other data.
    """
    place = Place(str(recipe.loader.shards))
    found = index.load(place)
    about = found.about
    _check_same(place, about, recipe.data, module)
    if about.asked != judged.reference():
        raise DataError(
            f"{place}: these data were packed for a task that judges {about.asked}, and {recipe.task.name} judges "
            f"{judged.reference()}. Pack them by a recipe of this task."
        )
    try:
        spec = packing.unpack(about.spec, packing.declared_facts(components), about.catalogues)
    except (CheckpointError, KeyError, TypeError) as error:
        raise DataError(
            f"{place}: the facts of these data cannot be read by the plugins that are installed ({error}). Install "
            "the versions that they were packed with, or pack them again."
        ) from error
    splits = read.splits(place, found, _types(recipe), recipe.loader.shuffle_shards)
    return Prepared(spec, splits, partial(read.problems, place, found))


def _types(recipe: Recipe) -> Types:
    return Types("taskkit", recipe.data.component.implementation.partition(":")[0])


def _plain(data: Chosen) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(json.dumps(to_plain(data.section))))


def _check_same(place: Place, about: About, data: Chosen, module: DataModule) -> None:
    """Raise DataError where the data section is another in what decides the examples."""
    packed, here = {**_defaults(data), **about.data}, {"name": data.name, **_plain(data)}
    if packed["name"] == here["name"]:
        packed = {name: value for name, value in packed.items() if name not in module.augment_settings}
    for name, value in packed.items():
        if here.get(name) != value:
            raise DataError(
                f"{place}: these data were packed with data.{name}={json.dumps(value)}, and the recipe says "
                f"{json.dumps(here.get(name))}. The same was expected. Correct the recipe, or pack its data."
            )


def _defaults(data: Chosen) -> Mapping[str, Any]:
    """Those of settings that a plugin may have got since the data were packed."""
    section = type(data.section)
    return {each.name: to_plain(each.default) for each in settings(section) if not each.required}
