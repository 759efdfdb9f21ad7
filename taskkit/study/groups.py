"""Which cells of a study belong together: the folds of a method, the members of an ensemble."""

from __future__ import annotations

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

    The members of one recipe and its values are its seeds; of `all`, everything.
    """
    found = dict[str, list[str]]()
    methods = {cell.method: cell for cell in cells if cell.method in there}
    for name, cell in methods.items():
        if "seeds" in kinds:
            rest = {key: value for key, value in cell.values.items() if key != "seed"}
            _, _, label = name.partition("_")
            found.setdefault(f"{cell.recipe}/ensemble{f'_{label}' if rest else ''}", []).append(name)
    if "all" in kinds:
        found["ensemble"] = [*methods]
    return {name: members for name, members in found.items() if len(members) > 1}
