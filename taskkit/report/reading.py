"""What a run directory holds for a reader; what cannot be read is told, and the rest is there all the same."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from taskkit.errors import CheckpointError
from taskkit.runs import history, manifest
from taskkit.runs.encryption import reading
from taskkit.runs.manifest import Interval, Manifest
from taskkit.runs.record import RECIPE
from taskkit.runs.rows import read_rows
from taskkit.runs.scrub import mark_of
from taskkit.verify import finding
from taskkit.verify.finding import Finding


@dataclass(frozen=True, eq=False)
class Answers:
    """A test: the table of predictions.parquet, of which a column becomes Python's when it is asked for."""

    table: Any

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def ids(self) -> list[str]:
        """Those of the examples."""
        return [str(each) for each in self.table["id"].to_pylist()]

    def numbers(self, column: str) -> list[float] | None:
        """A column of which every value is a finite number; None: there is none such."""
        if column not in self.table.column_names:
            return None
        found = self.table[column].to_pylist()
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in found):
            return None
        return [float(value) for value in found]

    @property
    def scrubbed(self) -> bool:
        """Whether `taskkit scrub` made numbers of the ids, which are no longer those of the data."""
        return mark_of(self.table.schema.metadata) is not None

    def placed(self, rows: Iterable[int]) -> dict[str, int]:
        """Some rows by the ids that their examples have in the data; empty where these were scrubbed."""
        return {} if self.scrubbed else {self.ids[row]: row for row in rows}

    def row(self, at: int) -> Mapping[str, Any]:
        """All columns of one row."""
        return {name: self.table[name][at].as_py() for name in self.table.column_names}


@dataclass(frozen=True, eq=False)
class RunFiles:
    """All that is known of a run, read once."""

    path: Path
    manifest: Manifest
    history: Sequence[Mapping[str, Any]]
    tables: Mapping[str, Sequence[Sequence[str]]]
    """By name, each with its heading first."""
    recipe: str
    """recipe.yaml, with where each value came from."""
    findings: Sequence[Finding]
    answers: Answers | None
    """None: no test was kept."""
    unread: tuple[str, ...]
    """What could not be read, and why."""

    @property
    def scrubbed(self) -> str:
        """What a reader must know of a run that was scrubbed, in words; empty for others."""
        if self.answers is None or not self.answers.scrubbed:
            return ""
        return (
            f"{self.path} was scrubbed: its examples are known by numbers that taskkit gave them and its classes by "
            "codes, neither of which are those of the data, and no raw example can be shown."
        )

    @property
    def headline(self) -> tuple[str, str]:
        """The metric that it is judged by and its direction; empty where it was never tested."""
        return self.manifest.protocol.headline if self.manifest.protocol is not None else ("", "")

    @property
    def value(self) -> float | None:
        """The headline."""
        return self.manifest.metrics.get(f"test/{self.headline[0]}")

    @property
    def trivial(self) -> float | None:
        """The headline of the trivial predictor."""
        return (self.manifest.baseline or {}).get(f"test/{self.headline[0]}")

    @property
    def interval(self) -> Interval | None:
        """That of the headline."""
        return self.manifest.intervals.get(f"test/{self.headline[0]}")

    def statistic(self, metric: str) -> Mapping[str, Any]:
        """How a metric follows from columns; empty: the run does not say."""
        return {} if self.manifest.protocol is None else self.manifest.protocol.statistics.get(metric, {})


def read(path: Path) -> RunFiles:
    """Read a run; raises CheckpointError when it is none of ours."""
    said = manifest.read(path)
    unread = list[str]()
    lines: Sequence[Mapping[str, Any]] = ()
    found: Mapping[Any, Finding] = {}
    try:
        lines = history.read(path)
    except (CheckpointError, OSError, ValueError) as error:
        unread.append(str(error))
    try:
        found = finding.read(path)
    except CheckpointError as error:
        unread.append(str(error))
    tables, lost = _tables(path)
    answers, why = _answers(path / "predictions.parquet")
    unread += [*lost, *([why] if why else [])]
    recipe = ""
    try:
        recipe = (path / RECIPE).read_text(errors="replace")
    except FileNotFoundError:
        pass
    except OSError as error:
        unread.append(f"{path / RECIPE}: cannot be read ({error.strerror}).")
    return RunFiles(path, said, lines, tables, recipe, tuple(found.values()), answers, tuple(unread))


def _tables(path: Path) -> tuple[dict[str, list[list[str]]], list[str]]:
    tables, lost = {}, []
    for file in sorted(path.glob("*.csv")):
        try:
            with reading(file) as opened, io.TextIOWrapper(opened, encoding="utf-8", newline="") as lines:
                rows = [row for row in csv.reader(lines) if row]
        except (OSError, ValueError, csv.Error, CheckpointError) as error:
            lost.append(f"{file}: cannot be read ({error}).")
            continue
        if rows and all(len(row) == len(rows[0]) for row in rows):
            tables[file.stem] = rows
        else:
            lost.append(f"{file}: it is no table with as many cells in each row.")
    return tables, lost


def _answers(file: Path) -> tuple[Answers | None, str]:
    if not file.exists():
        return None, ""
    from pyarrow import ArrowException

    try:
        table = read_rows(file)
    except (OSError, ValueError, ArrowException, CheckpointError) as error:
        return None, f"{file}: cannot be read ({error})."
    there = table.num_rows and "id" in table.column_names
    return (Answers(table), "") if there else (None, f"{file}: it has no rows with an id.")
