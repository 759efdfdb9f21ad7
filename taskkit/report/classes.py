"""What a run gives for each class, or each example: tables, confusions, calibration and the spread of scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from taskkit.report import answers, numbers
from taskkit.report.charts import histogram, reliability
from taskkit.report.document import Cell, Column, Figure, Grid, More, Part, grid
from taskkit.report.reading import RunFiles

ROWS = 40
"""Of a table."""
MATRIX = 20
"""A confusion matrix of more classes is told by its most frequent confusions alone."""
CONFUSIONS = 12
"""So many of the most frequent are listed."""


def classes(run: RunFiles) -> Iterator[Part]:
    """The tables that the task kept, how far its probabilities hold, and how scores are spread."""
    folded = list[Part]()
    for name, rows in run.tables.items():
        for part in _matrix(name, rows) if is_matrix(rows) else [table(name, rows)]:
            if isinstance(part, More):
                folded.append(part)
            else:
                yield part
    bins = answers.calibration(run)
    if bins:
        yield Figure(
            reliability("reliability", bins),
            "How often answers are right, over the probability that was said of them, with Wilson's 95 % intervals; on "
            "the broken line one would be as sure as one is right. Over all answers the two are "
            f"{numbers.number(answers.error(bins))} apart (expected calibration error, {answers.BINS} bins).",
        )
    said, score = run.headline[0], answers.score(run, run.headline[0])
    if score is not None and answers.right(run) is None and len(score) > 1:
        yield Figure(
            histogram("scores", f"{said} of each example", score, said), f"How many test examples have which {said}."
        )
    yield from folded


def is_matrix(rows: Sequence[Sequence[str]]) -> bool:
    """Whether a table has the same names at both sides, and whole numbers between them."""
    names = rows[0][1:]
    inside = [cell for row in rows[1:] for cell in row[1:]]
    return len(names) > 1 and [row[0] for row in rows[1:]] == names and all(cell.isdecimal() for cell in inside)


def _matrix(name: str, rows: Sequence[Sequence[str]]) -> Iterator[Part]:
    names, counts = list(rows[0][1:]), [[int(cell) for cell in row[1:]] for row in rows[1:]]
    if len(names) <= MATRIX:
        cells = tuple(
            (Cell(label), *_heated(row, at)) for at, (label, row) in enumerate(zip(names, counts, strict=True))
        )
        columns = (Column(rows[0][0]), *(Column(label, right=True) for label in names))
        caption = f"{name}: a row for each true class, a column for each answer; the deeper, the larger its share."
        yield Grid(caption, columns, cells, matrix=True)
    pairs = sorted(
        (
            (count, sum(row), names[at], names[other])
            for at, row in enumerate(counts)
            for other, count in enumerate(row)
            if other != at and count
        ),
        key=lambda pair: -pair[0],
    )
    if pairs:
        pairs_shown = [
            [Cell(true), Cell(answer), numbers.cell(count), numbers.cell(count / total)]
            for count, total, true, answer in pairs[:CONFUSIONS]
        ]
        left = f" The {CONFUSIONS} most frequent of {len(pairs)}." if len(pairs) > CONFUSIONS else ""
        titles = ("true class", "answer", "examples", "share of the class")
        confused = grid(f"What is taken for what.{left}", titles, pairs_shown, sortable=True)
        yield More("Most frequent confusions", (confused,)) if len(names) <= MATRIX else confused


def _heated(row: Sequence[int], at: int) -> tuple[Cell, ...]:
    total = sum(row) or 1
    return tuple(
        Cell(f"{count:,}" if count else "·", sort=count, heat=count / total, tone="good" if at == place else "bad")
        for place, count in enumerate(row)
    )


def table(name: str, rows: Sequence[Sequence[str]]) -> Grid:
    """A table of the task as it is, its first rows where it is long."""
    heading, *inside = rows
    names, *columns = zip(*inside[:ROWS], strict=True) if inside else [()]
    cells = zip(map(Cell, names), *map(numbers.column, columns), strict=True)
    left = f" The first {ROWS} of {len(inside):,} rows." if len(inside) > ROWS else ""
    return grid(f"{name}.csv.{left}", heading, [*cells], sortable=True)
