"""Methods over many data sets: their mean ranks, and which of them differ by more than chance would explain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import scipy  # which imports scipy.stats, of half a second, when it is asked for first

from taskkit.compare.comparison import Comparison
from taskkit.compare.differences import holm
from taskkit.compare.resampling import LEVEL
from taskkit.compare.rows import Floats
from taskkit.errors import TaskkitError
from taskkit.wording import some

LEAST = 10
"""Fewer data sets tell hardly anything apart, once several pairs are corrected for."""


@dataclass(frozen=True)
class Ranked:
    """A method, by its mean rank over the data sets; 1 is the best."""

    name: str
    rank: float
    skill: float | None
    """The mean over the data sets, where each has one."""


@dataclass(frozen=True)
class Pair:
    """Two methods by their places, and whether they differ over the data sets."""

    first: int
    second: int
    p: float
    """Of Wilcoxon's signed-rank test over the data sets, by Holm."""

    @property
    def real(self) -> bool:
        """Whether the two can be told apart."""
        return self.p <= 1 - LEVEL


@dataclass(frozen=True)
class Ranking:
    """Methods over many data sets, best first."""

    data_sets: int
    methods: tuple[Ranked, ...]
    pairs: tuple[Pair, ...]
    friedman: float | None
    """The p-value of Friedman's test that all methods are alike; None: there are only two."""


def ranking(comparison: Comparison) -> Ranking:
    """Rank what a comparison by a key and across protocols has at each value of the key: the method.

    As Benavoli, Corani and Mangili (2016) advise, pairs are tested by Wilcoxon's signed-rank test instead of by mean
    ranks, which depend on the other methods. Skills are compared where all have one, else the metrics. Raises
    TaskkitError for fewer than ten data sets, and for methods that were not tested once on each.
    """
    data_sets = [*dict.fromkeys(line.protocol for line in comparison.lines)]
    if len(data_sets) < LEAST:
        raise TaskkitError(
            f"these runs are of {len(data_sets)} data set(s) or protocol(s). {LEAST} at least were expected: over "
            "fewer, ranks are chance. Compare by skill and its interval instead: taskkit compare --across-protocols."
        )
    names = [*dict.fromkeys(_name(line.at) for line in comparison.lines)]
    if len(names) < 2:
        raise TaskkitError(f"all of these runs have {comparison.by} {names[0]}. Several methods were expected.")
    quality = np.full((len(data_sets), len(names)), np.nan)
    for line in comparison.lines:
        place = data_sets.index(line.protocol), names.index(_name(line.at))
        if not np.isnan(quality[place]):
            raise TaskkitError(
                f"{line.name}: there is another run with {comparison.by} {names[place[1]]} on its data. One for each "
                "data set was expected, or several that differ in their seed alone. Leave one out."
            )
        quality[place] = line.rank(across=line.skill is not None)
    lacking = [f"{names[j]} [{data_sets[i]}]" for i, j in np.argwhere(np.isnan(quality))]
    if lacking:
        raise TaskkitError(
            f"not every method was tested on every data set: {some(lacking)} lack. Run these, or leave others out."
        )
    return _ranking(names, quality, comparison)


def _ranking(names: Sequence[str], quality: Floats, comparison: Comparison) -> Ranking:
    ranks = scipy.stats.rankdata(-quality, axis=1).mean(axis=0)
    skills: dict[str, list[float]] = {name: [] for name in names}
    for line in comparison.lines:
        if line.skill is not None:
            skills[_name(line.at)].append(line.skill[0])
    means = {name: sum(known) / len(known) if len(known) == len(quality) else None for name, known in skills.items()}
    order = np.argsort(ranks, kind="stable")
    methods = [Ranked(names[i], float(ranks[i]), means[names[i]]) for i in order]
    sorted_ = quality[:, order]
    pairs = list(combinations(range(len(names)), 2))
    p = [_wilcoxon(sorted_[:, i] - sorted_[:, j]) for i, j in pairs]
    friedman = float(scipy.stats.friedmanchisquare(*sorted_.T).pvalue) if len(names) > 2 else None
    found = tuple(Pair(*pair, adjusted) for pair, adjusted in zip(pairs, holm(p), strict=True))
    return Ranking(len(quality), tuple(methods), found, friedman)


def _wilcoxon(differences: Floats) -> float:
    if not differences.any():
        return 1.0
    return float(scipy.stats.wilcoxon(differences, zero_method="zsplit").pvalue)


def _name(value: Any) -> str:
    return str(value)
