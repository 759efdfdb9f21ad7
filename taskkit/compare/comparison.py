"""Runs side by side: a value that any layout can show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import scipy  # which imports scipy.stats, of half a second, when it is asked for first

from taskkit.compare.cost import AXES, OF_MACHINE, Costs, costs_of, front, metered
from taskkit.compare.differences import LEAST_SEEDS, Difference, Method, Spread, compared
from taskkit.compare.looked import looked
from taskkit.compare.protocol import differing
from taskkit.compare.reading import Tested, curves, find, methods, names, read, value_of
from taskkit.compare.resampling import LEVEL
from taskkit.contracts.component import Component, Direction
from taskkit.errors import TaskkitError
from taskkit.wording import shown


def skill(value: float, trivial: float | None, ideal: float | None) -> float | None:
    """(metric - trivial) / (ideal - trivial); None where one of them is not known, or both are one."""
    if trivial is None or ideal is None or trivial == ideal:
        return None
    return (value - trivial) / (ideal - trivial)


def rank(value: float, share: float | None, direction: Direction | None, across: bool) -> float:
    """How good a figure is, more being better: of several protocols its skill; what is no number comes last."""
    found = share if across else -value if direction == "min" else value
    return -math.inf if found is None or math.isnan(found) else found


@dataclass(frozen=True)
class Line:
    """One method: a run, or several that differ in their seed."""

    name: str
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    metric: str
    direction: Direction | None
    value: float
    """The mean over the seeds."""
    low: float | None
    high: float | None
    interval: str
    """What the interval is, or why there is none."""
    examples: int | None
    groups: int | None
    over_examples: float | None
    """The standard error from example to example."""
    over_seeds: float | None
    """The standard deviation from seed to seed."""
    trivial: float | None
    """The metric of the trivial predictor."""
    ideal: float | None
    protocol: str
    """A letter that runs of one protocol share; empty where all do."""
    costs: Costs
    curve: str = ""
    """Of a comparison by a key: what lines that differ in its value alone have in common."""
    at: Any = None
    """Of a comparison by a key: its value."""

    def rank(self, across: bool) -> float:
        """How good it is among others, more being better: of several protocols by skill."""
        return rank(self.value, None if self.skill is None else self.skill[0], self.direction, across)

    @property
    def skill(self) -> tuple[float, float | None, float | None] | None:
        """How far it is from the trivial to the ideal predictor, with its interval, the trivial one taken for known."""
        value = skill(self.value, self.trivial, self.ideal)
        if value is None:
            return None
        ends = [skill(bound, self.trivial, self.ideal) for bound in (self.low, self.high) if bound is not None]
        known = sorted(end for end in ends if end is not None)
        return (value, known[0], known[1]) if len(known) == 2 else (value, None, None)


@dataclass(frozen=True)
class Comparison:
    """Methods, best first, and which differences between them are real."""

    lines: tuple[Line, ...]
    differences: tuple[Difference, ...]
    """Of pairs of lines, by their places from 0: the family that Holm's correction is for."""
    notes: tuple[str, ...]
    across: bool
    """Whether there are several protocols, whose figures are not comparable."""
    by: str | None = None
    """The key of the recipe along which the lines make curves, such as `loader.fraction`."""

    @property
    def fronts(self) -> Mapping[str, tuple[int, ...]]:
        """By the name of a cost: the places of the lines that none other beats both in quality and in this cost.

        Quality is the metric, across protocols the skill. Times and energy of several machines have no front.
        """
        quality = [line.rank(self.across) for line in self.lines]
        machines = {line.costs.machine for line in self.lines}
        axes = [name for name in AXES if name not in OF_MACHINE or (len(machines) == 1 and "" not in machines)]
        if not metered([line.costs for line in self.lines]):
            axes = [name for name in axes if name != "energy"]
        found = {name: front(quality, [AXES[name](line.costs) for line in self.lines]) for name in axes}
        return {
            name: tuple(place for place in places if quality[place] > -math.inf)
            for name, places in found.items()
            if places
        }

    @property
    def noise(self) -> float | None:
        """How far apart two runs of one recipe come by their seeds alone, in 19 of 20 cases; None: nobody ran several.

        Pooled over the methods that have several seeds, each by its seeds but one, by as many of which Student's t is
        wider than a normal distribution.
        """
        spreads = [(len(each.seeds) - 1, each.over_seeds**2) for each in self.lines if each.over_seeds is not None]
        freedom = sum(free for free, _ in spreads)
        if not freedom or self.across:
            return None
        variance = sum(free * each for free, each in spreads) / freedom
        return float(scipy.stats.t.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(2 * variance)

    def between(self, one: int, other: int) -> Difference | None:
        """The difference of two lines by their places, if it was tested."""
        return next((each for each in self.differences if {each.first, each.second} == {one, other}), None)


def compare(
    words: Iterable[str],
    components: Iterable[Component],
    metric: str | None = None,
    *,
    across: bool = False,
    by: str | None = None,
) -> Comparison:
    """Compare the runs that words name by a metric, by default the headline, and perhaps along a key of their recipes.

    Raises CheckpointError for a word that names no tested run, TaskkitError for a metric or a key that a run does not
    have and, unless `across` is asked for, for runs of several protocols.
    """
    paths, notes = find([*words])
    components = [*components]
    runs = [read(path, metric, components) for path in paths]
    if by == "seed":
        raise TaskkitError(
            "--by seed: runs that differ in their seed alone are one method. Another key was expected, such as "
            "optim.lr; without --by the spread over seeds is shown."
        )
    values = {} if by is None else {run.path: value_of(run, by) for run in runs}
    letters = _protocols(runs)
    if len({*letters}) > 1 and not across:
        raise TaskkitError(_refusal(runs))
    several = len({*letters}) > 1
    by_path = {run.path: letter for run, letter in zip(runs, letters, strict=True)}
    together = methods(runs)
    ordered = sorted(
        zip(names(together), together, strict=True), key=lambda pair: _rank(pair[1], several), reverse=True
    )
    groups = [each for _, each in ordered]
    marks = [by_path[each[0].path] for each in groups]
    spreads, found = _compared(groups, marks)
    lines = [
        _line(name, each, mark if several else "", spreads.get(place))
        for place, ((name, each), mark) in enumerate(zip(ordered, marks, strict=True))
    ]
    if by is not None:
        belong = curves(groups, by)
        lines = [
            replace(line, curve=curve, at=values[each[0].path])
            for line, curve, each in zip(lines, belong, groups, strict=True)
        ]
        _refuse_twice(lines, by)
    notes += [f"{run.path}: no test; {run.lacking}." for run in runs if run.lacking]
    if several:
        notes += [f"[{letter}] {_protocol(run)}" for letter, run in sorted(_firsts(letters, runs).items())]
    notes += _warnings(lines, found, several)
    notes += _of_folds(groups)
    notes += looked(groups)
    return Comparison(tuple(lines), tuple(found), tuple(notes), several, by)


def _of_folds(groups: Sequence[Sequence[Tested]]) -> list[str]:
    """What is not known of cross-validated runs once there are several."""
    derived = [run.manifest.derived for runs in groups for run in runs]
    if len(derived) < 2 or not any(each is not None and each.kind == "folds" for each in derived):
        return []
    return [
        "Folds share what they learn from. The interval of one cross-validated run knows that; those over several "
        "seeds, and the tests of differences, take the networks as they are, and are too sure."
    ]


def _refuse_twice(lines: Sequence[Line], by: str) -> None:
    """Raise TaskkitError where a curve has a value twice, as of a seed that was run again."""
    known = dict[tuple[str, str, str], Line]()
    for line in lines:
        other = known.setdefault((line.curve, line.protocol, repr(line.at)), line)
        if other is not line:
            raise TaskkitError(
                f"{other.runs[0]} and {line.runs[0]} are of one recipe and one seed, with {by} {line.at}: a curve has "
                "one method at each value. Leave one out."
            )


def _protocols(runs: Sequence[Tested]) -> list[str]:
    """A letter for each run; those with which nothing differs share one."""
    firsts, letters = list[Tested](), list[str]()
    for run in runs:
        place = next((i for i, first in enumerate(firsts) if not differing(first, run)), len(firsts))
        if place == len(firsts):
            firsts.append(run)
        letters.append(_letter(place))
    return letters


def _firsts(letters: Sequence[str], runs: Sequence[Tested]) -> dict[str, Tested]:
    """The first run of each protocol."""
    return dict(zip(reversed(letters), reversed(runs), strict=True))


def _protocol(run: Tested) -> str:
    said = {**run.protocol.task_protocol, **run.protocol.data_protocol}
    rest = "".join(f"; {key}: {shown(value)}" for key, value in said.items())
    return f"{run.protocol.task}, {run.metric}, {run.protocol.data} ({run.protocol.splits[:24]}){rest}"


def _letter(place: int) -> str:
    return chr(ord("a") + place) if place < 26 else f"p{place + 1}"


def _refusal(runs: Sequence[Tested]) -> str:
    first = runs[0]
    other = next(run for run in runs if differing(first, run))
    said = "\n".join(f"  {each}" for each in differing(first, other))
    return (
        f"{first.path} and {other.path} were not measured alike:\n{said}\nRuns of one test and one protocol were "
        "expected. Leave one out, or mark every figure with its protocol: --across-protocols."
    )


def _line(name: str, runs: Sequence[Tested], letter: str, found: Spread | None) -> Line:
    first = runs[0]
    recorded = first.manifest.intervals.get(f"test/{first.metric}")
    low, high, said = None, None, "; ".join(dict.fromkeys(run.lacking for run in runs if run.lacking))
    if len(runs) > 1 and found is not None:
        low, high = (_possible(bound, first) for bound in (found.low, found.high))
        said = "seeds and examples (Student's t)"
    elif recorded is not None and len(runs) == 1:
        low, high, said = recorded.low, recorded.high, recorded.method if recorded.low is not None else recorded.note
    rows = first.rows
    return Line(
        name,
        tuple(str(run.path) for run in runs),
        tuple(run.manifest.seed for run in runs),
        first.metric,
        first.direction,
        _value(runs),
        low,
        high,
        said,
        None if rows is None else len(rows),
        None if rows is None or rows.groups == len(rows) else rows.groups,
        None if found is None else found.over_examples,
        None if found is None else found.over_seeds,
        _mean([run.trivial for run in runs]),
        first.ideal,
        letter,
        costs_of(runs),
    )


def _possible(bound: float | None, run: Tested) -> float | None:
    """A bound, no better than a predictor without faults: Student's interval does not know where a metric ends."""
    if bound is None or run.ideal is None or run.direction is None:
        return bound
    return min(bound, run.ideal) if run.direction == "max" else max(bound, run.ideal)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _method(runs: Sequence[Tested]) -> Method | None:
    """The method of runs that can all be tested."""
    tests = tuple(run.rows for run in runs if run.rows is not None)
    if len(tests) < len(runs) or tests[0].groups < 2:
        return None
    return Method(tuple(run.manifest.seed for run in runs), tests)


def _value(runs: Sequence[Tested]) -> float:
    return sum(run.value for run in runs) / len(runs)


def _rank(runs: Sequence[Tested], across: bool) -> float:
    first, value = runs[0], _value(runs)
    share = skill(value, _mean([run.trivial for run in runs]), first.ideal)
    return rank(value, share, first.direction, across)


def _compared(runs: Sequence[Sequence[Tested]], letters: Sequence[str]) -> tuple[dict[int, Spread], list[Difference]]:
    """The methods that can be tested, by their places, and all pairs of one protocol, as one family for each."""
    spreads, found = dict[int, Spread](), list[Difference]()
    for letter in dict.fromkeys(letters):
        places = [place for place, mark in enumerate(letters) if mark == letter]
        tested = [(place, method) for place in places if (method := _method(runs[place])) is not None]
        statistic = runs[tested[0][0]][0].statistic if tested else None
        if statistic is None:
            continue
        alone, pairs = compared([method for _, method in tested], statistic)
        spreads |= {place: each for (place, _), each in zip(tested, alone, strict=True)}
        found += [replace(each, first=tested[each.first][0], second=tested[each.second][0]) for each in pairs]
    return spreads, found


def _warnings(lines: Sequence[Line], found: Sequence[Difference], across: bool) -> list[str]:
    """What a reader must know of these numbers."""
    said = list[str]()
    if across:
        said.append("Figures with different letters come from different protocols: do not compare them but by skill.")
    if any(line.direction is None for line in lines):
        said.append("Neither way is better in this metric; the largest comes first.")
    few = [line for line in lines if 1 < len(line.seeds) < LEAST_SEEDS]
    if few:
        said.append(f"Fewer than {LEAST_SEEDS} seeds: there is no p-value over seeds.")
    if found and any(len(line.seeds) == 1 for line in lines):
        said.append("A method of one seed: the test is about this network, not about the method.")
    return said
