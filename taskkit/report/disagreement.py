"""Where methods disagree: examples that some get right and others wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from taskkit.compare.rows import Booleans, Floats
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
    scores: Floats
    """One for each example by each method: (methods, examples)."""
    right: Booleans | None
    """The same where answers are right or wrong; else None."""

    @classmethod
    def of(cls, named: Sequence[tuple[str, RunFiles]], metric: str) -> Disagreement | None:
        """That of methods by name; None: they keep no scores of the same examples."""
        found = [answers.score(run, metric) for _, run in named]
        ids = [None if run.answers is None else run.answers.ids for _, run in named]
        # Two data sets may both number their examples.
        of = [run.manifest.protocol.splits if run.manifest.protocol is not None else None for _, run in named]
        alike = all(each == first[0] for first in (ids, of) for each in first)
        if len(named) < 2 or any(each is None for each in found) or not alike:
            return None
        rights = [answers.right(run) for _, run in named]
        binary = all(each is not None for each in rights) and all(run.headline[0] == metric for _, run in named)
        return cls(
            tuple(name for name, _ in named),
            tuple(run for _, run in named),
            metric,
            np.array(found),
            np.array(rights) if binary else None,
        )

    def disputed(self) -> list[int]:
        """The rows on which methods disagree most, the most disputed first."""
        variance = (self.scores if self.right is None else self.right).var(axis=0).round(9)
        spread = {int(row): float(variance[row]) for row in variance.nonzero()[0]}
        # Among equals those that stand first would all be of one class.
        return sorted(spread, key=lambda row: (-spread[row], hash_fraction(_id(self, row))))[:EXAMPLES]

    def wanted(self) -> dict[str, int]:
        """The ids of these examples, and their rows."""
        found = self.runs[0].answers
        return {} if found is None else found.placed(self.disputed())


def parts(found: Disagreement | None, look: Look) -> Iterator[Part]:
    """On how many examples methods disagree, which beats which, and some of these examples."""
    if found is None:
        yield Prose("These runs keep no scores of the same examples, by which their answers could be held together.")
        return
    if found.right is not None:
        yield from _counted(found.names, found.right)
    rows = found.disputed()
    if not rows:
        yield Prose("They agree on every example.")
        return
    yield Prose("The most disputed examples:")
    if look.lacking:
        yield Prose(look.lacking, "warn")
    if found.runs[0].scrubbed:
        yield Prose(found.runs[0].scrubbed, "warn")
    shown, left = media.within_budget(look.shown)
    if left:
        yield Prose(left, "warn")
    yield Gallery(tuple(_shown(found, row, shown.get(_id(found, row), Markup(""))) for row in rows))


def _id(found: Disagreement, row: int) -> str:
    kept = found.runs[0].answers
    return "" if kept is None else kept.ids[row]


def _counted(names: Sequence[str], right: Booleans) -> Iterator[Part]:
    methods, examples = right.shape
    every, none = int(right.all(axis=0).sum()), int((~right).all(axis=0).sum())
    yield Prose(
        f"Of {examples:,} examples all methods get {every:,} right and {none:,} wrong; they disagree on "
        f"{examples - every - none:,}."
    )
    first = right[:MATRIX].astype(int)
    won = first @ (1 - first).T
    most = int(won.max()) or 1
    rows = tuple(
        (
            Cell(name),
            *(
                Cell("·") if at == other else Cell(f"{n:,}", sort=n, heat=n / most)
                for other, n in enumerate(won[at].tolist())
            ),
        )
        for at, name in enumerate(names[:MATRIX])
    )
    left = f" The best {MATRIX} of {methods}." if methods > MATRIX else ""
    columns = (Column("right \\ wrong"), *(Column(name, right=True) for name in names[:MATRIX]))
    yield Grid(
        f"Examples that the method of the row gets right and that of the column wrong.{left}",
        columns,
        rows,
        matrix=True,
    )


def _shown(found: Disagreement, row: int, shown: Markup) -> Shown:
    first = found.runs[0]
    target = None if first.answers is None else first.answers.row(row).get("target")
    facts: list[tuple[str, Markup | str]] = [("target", media.prediction(target, first.path))]
    for place, (name, run) in enumerate(zip(found.names[:NAMED], found.runs, strict=False)):
        values = {} if run.answers is None else run.answers.row(row)
        answer = media.prediction(values["prediction"], run.path) if "prediction" in values else Markup("")
        facts.append((name, Markup('{} <span class="quiet">{}</span>').format(answer, _judged(found, place, row))))
    if len(found.names) > NAMED:
        more = "" if found.right is None else f", {int(found.right[:, row].sum())} of them right"
        facts.append(("all", f"{len(found.names)} methods{more}"))
    return Shown(_id(found, row), shown, tuple(facts))


def _judged(found: Disagreement, place: int, row: int) -> str:
    if found.right is not None:
        return "right" if found.right[place, row] else "wrong"
    return f"{found.metric} {numbers.number(float(found.scores[place, row]))}"
