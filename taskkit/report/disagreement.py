"""Where methods disagree: examples that some get right and others wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from taskkit.data.splits import hash_fraction
from taskkit.report import answers, media, numbers
from taskkit.report.document import Cell, Column, Gallery, Grid, Part, Prose, Shown
from taskkit.report.look import Look
from taskkit.report.reading import RunFiles

EXAMPLES = 8
"""So many examples are shown."""
NAMED = 6
"""So many methods are told one by one."""
MATRIX = 12
"""So many stand beside each other in a table of all pairs."""


@dataclass(frozen=True, eq=False)
class Disagreement:
    """The scores of the examples of one test by several methods."""

    names: tuple[str, ...]
    runs: tuple[RunFiles, ...]
    metric: str
    scores: tuple[tuple[float, ...], ...]
    """Of each method, one for each example."""
    right: tuple[tuple[bool, ...], ...]
    """The same where answers are right or wrong; else empty."""

    @classmethod
    def of(cls, named: Sequence[tuple[str, RunFiles]], metric: str) -> Disagreement | None:
        """That of methods by name; None: they keep no scores of the same examples."""
        found = [answers.score(run, metric) for _, run in named]
        ids = [None if run.answers is None else run.answers.ids for _, run in named]
        if len(named) < 2 or any(each is None for each in found) or any(each != ids[0] for each in ids):
            return None
        rights = [answers.right(run) for _, run in named]
        binary = all(each is not None for each in rights) and all(run.headline[0] == metric for _, run in named)
        return cls(
            tuple(name for name, _ in named),
            tuple(run for _, run in named),
            metric,
            tuple(tuple(each) for each in found if each is not None),
            tuple(tuple(each) for each in rights if each is not None) if binary else (),
        )

    def disputed(self) -> list[int]:
        """The rows on which methods disagree most, the most disputed first."""
        sides = self.right or self.scores
        spread = {row: _variance(each) for row, each in enumerate(zip(*sides, strict=True)) if len({*each}) > 1}
        # Among equals those that stand first would all be of one class.
        return sorted(spread, key=lambda row: (-spread[row], hash_fraction(_id(self, row))))[:EXAMPLES]

    def wanted(self) -> dict[str, int]:
        """The ids of these examples, and their rows."""
        found = self.runs[0].answers
        return {} if found is None else {found.ids[row]: row for row in self.disputed()}


def _variance(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values)


def parts(found: Disagreement | None, look: Look) -> Iterator[Part]:
    """On how many examples methods disagree, which beats which, and some of these examples."""
    if found is None:
        yield Prose("These runs keep no scores of the same examples, by which their answers could be held together.")
        return
    if found.right:
        yield from _counted(found)
    rows = found.disputed()
    if not rows:
        yield Prose("They agree on every example.")
        return
    yield Prose("The most disputed examples:")
    if look.lacking:
        yield Prose(look.lacking, "warn")
    shown, left = media.within_budget(look.shown)
    if left:
        yield Prose(left, "warn")
    yield Gallery(tuple(_shown(found, row, shown.get(_id(found, row), Markup(""))) for row in rows))


def _id(found: Disagreement, row: int) -> str:
    kept = found.runs[0].answers
    return "" if kept is None else kept.ids[row]


def _counted(found: Disagreement) -> Iterator[Part]:
    each = [sum(sides) for sides in zip(*found.right, strict=True)]
    methods = len(found.names)
    every, none = each.count(methods), each.count(0)
    yield Prose(
        f"Of {len(each):,} examples all methods get {every:,} right and {none:,} wrong; they disagree on "
        f"{len(each) - every - none:,}."
    )
    names, right = found.names[:MATRIX], found.right[:MATRIX]
    most = max((_won(a, b) for a in right for b in right), default=0) or 1
    rows = tuple(
        (
            Cell(name),
            *(
                Cell("·") if one is other else Cell(f"{n:,}", sort=n, heat=n / most)
                for other in right
                for n in [_won(one, other)]
            ),
        )
        for name, one in zip(names, right, strict=True)
    )
    left = f" The best {MATRIX} of {methods}." if methods > MATRIX else ""
    columns = (Column("right \\ wrong"), *(Column(name, right=True) for name in names))
    yield Grid(
        f"Examples that the method of the row gets right and that of the column wrong.{left}",
        columns,
        rows,
        matrix=True,
    )


def _won(one: Sequence[bool], other: Sequence[bool]) -> int:
    return sum(a and not b for a, b in zip(one, other, strict=True))


def _shown(found: Disagreement, row: int, shown: Markup) -> Shown:
    kept = found.runs[0].answers
    target = None if kept is None else kept.columns.get("target", [None] * len(kept))[row]
    facts: list[tuple[str, Markup | str]] = [("target", media.prediction(target, found.runs[0].path))]
    for place, (name, run) in enumerate(zip(found.names[:NAMED], found.runs, strict=False)):
        if run.answers is None or "prediction" not in run.answers.columns:
            facts.append((name, numbers.number(found.scores[place][row])))
            continue
        answer = media.prediction(run.answers.columns["prediction"][row], run.path)
        figure = ("right" if found.right[place][row] else "wrong") if found.right else _figure(found, place, row)
        facts.append((name, Markup('{} <span class="quiet">{}</span>').format(answer, figure)))
    if len(found.names) > NAMED:
        good = sum(side[row] for side in found.right) if found.right else None
        told = "" if good is None else f"{good} of {len(found.names)} methods are right"
        facts.append(("all", told or f"{len(found.names)} methods"))
    return Shown(_id(found, row), shown, tuple(facts))


def _figure(found: Disagreement, place: int, row: int) -> str:
    return f"{found.metric} {numbers.number(found.scores[place][row])}"
