"""Rows of tables as examples, and as tensors."""

import hashlib
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from taskkit import (
    DataError,
    DataModule,
    Example,
    Fact,
    Prepared,
    Processor,
    Sample,
    Split,
    TableFile,
    by_share,
    read_table,
)

from taskkit_tabular import sections
from taskkit_tabular.prepared import prepared
from taskkit_tabular.sections import Rows


class Table(DataModule[sections.Table]):
    """The rows of a table, by a column that names their split or by a hash of their number."""

    def prepare(self, target: type[Fact]) -> Prepared:
        """Read the table once."""
        c = self.config
        table = read_table(c.path)
        used = {*c.targets, *c.categories, c.split}
        facts = Rows(tuple(name for name in table.content.column_names if name not in used), tuple(c.categories))
        targets = list(zip(*(numbers(table, name, "data.targets") for name in c.targets), strict=True))
        splits: dict[Split, list[Example]] = {"train": [], "val": [], "test": []}
        for row, (inputs, split) in enumerate(zip(read_rows(table, facts), self._splits(table), strict=True)):
            if None in targets[row]:
                raise DataError(f"{table.where(row)}: a target is empty. Fill it in, or leave the row out.")
            splits[split].append(Example(f"row {row + 1}", inputs, targets[row]))
        # The folder that the table lies in decides nothing.
        decisive = [c.path.read_bytes(), repr(replace(c, path=Path(c.path.name))).encode()]
        shares = f"test {c.test} and val {c.val} of all, by a hash of the number of the row"
        protocol = {"splits": shares if c.split is None else f"as column {c.split!r} says"}
        return prepared(splits, facts, c.targets, hashlib.sha256(b"".join(decisive)).hexdigest(), protocol)

    def _splits(self, table: TableFile) -> Sequence[Split]:
        c = self.config
        if c.split is not None:
            return table.splits(c.split, "data.split")
        return [by_share(f"row {row + 1}", c.val, c.test) for row in range(len(table))]


def read_rows(table: TableFile, facts: Rows) -> Iterator[Mapping[str, Any]]:
    """The inputs in a table that has the columns of the facts."""
    columns: dict[str, Sequence[Any]] = {name: numbers(table, name, "the table's header") for name in facts.numbers}
    for name in facts.categories:
        cells = table.column(name, "data.categories")
        columns[name] = [None if cell is None else str(cell).strip() for cell in cells]
    for row in zip(*columns.values(), strict=True):
        yield dict(zip(columns, row, strict=True))


def numbers(table: TableFile, name: str, setting: str) -> list[float | None]:
    """A column of numbers, None where a cell is empty; raises DataError for what is no finite number."""
    cells: list[float | None] = []
    for row, cell in enumerate(table.column(name, setting)):
        try:
            number = None if cell is None else float(cell)
        except ValueError:
            number = math.inf
        if number is not None and not math.isfinite(number):
            raise DataError(
                f"{table.where(row)}: {name!r} is {cell!r}. A number was expected. Correct the cell, or name the "
                "column in data.categories."
            )
        cells.append(number)
    return cells


class RowEncoder(Processor):
    """Standardised numbers, medians where one is missing, and numbers of categories: 0 for one never seen."""

    def __init__(self, facts: Rows) -> None:
        self.facts = facts
        self.medians: list[float] = []
        self.means: list[float] = []
        self.deviations: list[float] = []
        self.categories: list[list[str]] = []
        """The categories of each column, first the empty cell."""

    def fit(self, examples: Sequence[Example]) -> None:
        """Learn medians, means and deviations of what is there, and the categories."""
        for name in self.facts.numbers:
            known = [example.input[name] for example in examples if example.input[name] is not None] or [0.0]
            self.medians.append(statistics.median(known))
            self.means.append(statistics.fmean(known))
            self.deviations.append(statistics.pstdev(known) or 1.0)
        for name in self.facts.categories:
            self.categories.append(["", *sorted({example.input[name] for example in examples} - {None})])

    def read(self, source: str, options: Any) -> Sequence[Example]:
        """An example for each row of a table that has the columns; raises DataError."""
        table = read_table(Path(source))
        table.check_columns({name: name for name in (*self.facts.numbers, *self.facts.categories)})
        rows = zip(read_rows(table, self.facts), table.rows(), strict=True)
        return [Example(f"{source}: row {n}", row, columns=columns) for n, (row, columns) in enumerate(rows, 1)]

    def encode(self, example: Example) -> Sequence[Sample]:
        """One sample: what is missing or unknown keeps a mark."""
        given = [example.input[name] for name in self.facts.numbers]
        filled = [median if cell is None else cell for cell, median in zip(given, self.medians, strict=True)]
        scales = zip(filled, self.means, self.deviations, strict=True)
        words = [example.input[name] or "" for name in self.facts.categories]
        places = [
            known.index(word) + 1 if word in known else 0 for word, known in zip(words, self.categories, strict=True)
        ]
        sample = {
            "numbers": torch.tensor([(value - mean) / deviation for value, mean, deviation in scales]),
            "missing": torch.tensor([float(cell is None) for cell in given]),
            "categories": torch.tensor(places, dtype=torch.long),
            "flag_unknown_category": torch.tensor(int(0 in places)),
        }
        return [sample if example.target is None else {**sample, "target": torch.tensor(example.target)}]

    def settings(self) -> Mapping[str, Any]:
        """Nothing but what was learnt decides what `encode` gives."""
        return {}

    def state_dict(self) -> Mapping[str, Any]:
        """What was learnt."""
        return {name: getattr(self, name) for name in ("medians", "means", "deviations", "categories")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what was learnt."""
        vars(self).update(state)
