"""Which cells of a study belong together: the folds of a method, the members of an ensemble."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from taskkit.study.plan import Cell


def folded(cells: Sequence[Cell]) -> Mapping[str, Sequence[str]]:
    """The folds of each method, by its name, in their order; none where nothing is folded."""
    found = dict[str, list[str]]()
    for cell in cells:
        if cell.fold is not None:
            found.setdefault(cell.method, []).append(cell.name)
    return found


def ensembles(kinds: Collection[str], cells: Sequence[Cell], there: Collection[str]) -> Mapping[str, Sequence[str]]:
    """The members of each ensemble, by its name; of runs that are not there, none.

    The members of one recipe and its values are its seeds; of `all`, everything, unless that is the same once more.
    """
    methods = {cell.method: cell for cell in cells if cell.method in there}
    seeds = dict[tuple[str, str], list[str]]()
    for name, cell in methods.items() if "seeds" in kinds else ():
        rest = {key: value for key, value in cell.values.items() if key != "seed"}
        seeds.setdefault((cell.recipe, json.dumps(rest, sort_keys=True)), []).append(name)
    found = {_averaged(recipe, members[0]): members for (recipe, _), members in seeds.items()}
    if "all" in kinds and [*methods] not in found.values():
        found["ensemble"] = [*methods]
    return {name: members for name, members in found.items() if len(members) > 1}


def _averaged(recipe: str, member: str) -> str:
    """What the average of a recipe's seeds is called, by one of them: as that, but for the seed."""
    _, _, rest = member.removeprefix(f"{recipe}/").partition("_")
    return f"{recipe}/ensemble{f'_{rest}' if rest else ''}"
