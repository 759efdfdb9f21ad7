"""The scores of a test's examples, and metrics of them for many resamples at once.

A resample says how often each group counts: examples of one speaker, user or document are drawn together, since they
are alike. Where the data name no groups, each example is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskkit.contracts.statistics import Gaps, Mean, Of, Ratio, Statistic
from taskkit.errors import RunFailedError
from taskkit.wording import TELL_AUTHORS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Evaluate = Callable[[Floats], Floats]
"""Metrics, float (metrics, resamples), of how often each group counts, float (resamples, groups)."""
DIGITS = 12
"""To which metrics are told apart."""


@dataclass(frozen=True, eq=False)
class Rows:
    """A test, one row an example."""

    ids: tuple[str, ...]
    columns: Mapping[str, NDArray[Any]]
    """Each of shape (rows,)."""
    group: Integers
    """The number of each row's group, from 0: (rows,)."""

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], wanted: Iterable[str] | None = None) -> Rows:
        """Those of an evaluation or of predictions.parquet, with the columns that are wanted, or all.

        A row without a `group` is a group of its own.
        """
        return cls.of_columns({name: [row.get(name) for row in rows] for name in (rows[0] if rows else ())}, wanted)

    @classmethod
    def of_columns(cls, columns: Mapping[str, Sequence[Any]], wanted: Iterable[str] | None = None) -> Rows:
        """The same of columns by name, `id` among them."""
        ids = tuple(map(str, columns.get("id", ())))
        there = {name: _column(values) for name, values in columns.items() if wanted is None or name in wanted}
        return cls(ids, there, _numbered(columns["group"]) if "group" in columns else np.arange(len(ids)))

    @classmethod
    def beside(cls, first: Sequence[Rows], second: Sequence[Rows]) -> Rows:
        """Several tests of the same examples on two sides; the second's groups are numbered after the first's."""
        groups, tests = first[0].groups, [*first, *second]
        names = set(tests[0].columns).intersection(*(rows.columns for rows in tests))
        return cls(
            tuple(each for rows in tests for each in rows.ids),
            {name: np.concatenate([rows.columns[name] for rows in tests]) for name in sorted(names)},
            np.concatenate([*(rows.group for rows in first), *(rows.group + groups for rows in second)]),
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return int(self.group.max()) + 1 if len(self) else 0

    def lacks(self, statistic: Statistic) -> str:
        """Why a statistic cannot be had of these rows, in words; empty when it can."""
        for name in statistic.columns:
            if name not in self.columns:
                return f"the rows have no column {name!r}"
            values = self.columns[name]
            if not np.issubdtype(values.dtype, np.number) and not np.issubdtype(values.dtype, np.bool_):
                if values.dtype == object:
                    return f"{name!r} is no single value in some rows"
                if not isinstance(statistic, Of):
                    return f"{name!r} is no number"
            elif bad := int((~np.isfinite(values.astype(float))).sum()):
                return f"{bad} of {len(self)} rows have no finite {name!r}"
        return ""

    def evaluate(self, statistics: Sequence[Statistic]) -> Evaluate:
        """A function that computes them for many resamples; nan where one cannot be had of a resample."""
        raw = self._raw(statistics)
        scale = _scale(raw(np.ones((1, self.groups))))
        # The same metric summed in another order differs in its last bits, and is equal all the same.
        return lambda drawn: np.round(raw(drawn) / scale, DIGITS) * scale

    def values(self, statistics: Sequence[Statistic]) -> Floats:
        """The metrics of the test itself, float (metrics,)."""
        return self.evaluate(statistics)(np.ones((1, self.groups)))[:, 0]

    def _raw(self, statistics: Sequence[Statistic]) -> Evaluate:
        """The same, as it comes."""
        parts = [self.sums(statistic) for statistic in statistics if not isinstance(statistic, Of)]
        quotients = ratios_of(parts) if parts else None
        singly = self.groups == len(self)

        def evaluate(drawn: Floats) -> Floats:
            ratios = iter(() if quotients is None else quotients(drawn))
            # A group that is one row has its number: rows and groups come in one order.
            weight = drawn if singly else drawn[:, self.group]
            found = [self._function(each, weight) if isinstance(each, Of) else next(ratios) for each in statistics]
            return np.stack(found)

        return evaluate

    def sums(self, statistic: Mean | Ratio) -> tuple[Floats, Floats]:
        """What is above and what is below the line, for each group: float (groups,) each."""
        above, *rest = (self.columns[name].astype(float) for name in statistic.columns)
        below = rest[0] if rest else np.ones(len(self))
        return self._by_group(above), self._by_group(below)

    def _by_group(self, values: Floats) -> Floats:
        return np.bincount(self.group, values, self.groups).astype(float)

    def gaps(self, statistic: Gaps) -> Evaluate:
        """A function that computes its gaps, float (gaps, resamples), for many resamples."""
        singly = self.groups == len(self)
        return lambda drawn: self._answered(statistic, drawn if singly else drawn[:, self.group]).T

    def _function(self, statistic: Of, weight: Floats) -> Floats:
        found = self._answered(statistic, weight)
        return np.abs(found).sum(1) if isinstance(statistic, Gaps) else found

    def _answered(self, statistic: Of, weight: Floats) -> Floats:
        columns = [self.columns[name] for name in statistic.columns]
        try:
            found = np.asarray(statistic.function(*columns, sample_weight=weight), dtype=float)
        except Exception as error:
            raise RunFailedError(
                f"{statistic.reference} failed: {type(error).__name__}: {error}. {TELL_AUTHORS}"
            ) from error
        one = "Several numbers" if isinstance(statistic, Gaps) else "One number"
        if found.shape[:1] != weight.shape[:1] or found.ndim != 1 + isinstance(statistic, Gaps):
            raise RunFailedError(
                f"{statistic.reference} answered the shape {found.shape}. {one} for each of {len(weight)} rows of "
                f"`sample_weight` was expected. {TELL_AUTHORS}"
            )
        return found


def together(tests: Sequence[Rows], statistic: Statistic) -> Evaluate:
    """The same metric of several tests of the same groups, for many resamples: float (tests, resamples)."""
    if isinstance(statistic, Of):
        each = [rows.evaluate([statistic]) for rows in tests]
        return lambda drawn: np.concatenate([evaluate(drawn) for evaluate in each])
    quotients = ratios_of([rows.sums(statistic) for rows in tests])
    scale = _scale(quotients(np.ones((1, tests[0].groups))))
    return lambda drawn: np.round(quotients(drawn) / scale, DIGITS) * scale


def ratios_of(sums: Sequence[tuple[Floats, Floats]]) -> Evaluate:
    """The ratios of sums over groups, (groups,) each, for many resamples, as one product of matrices."""
    above, below = stacked(sums)
    return lambda drawn: divided(drawn @ above, below.weighed(drawn)).T


@dataclass(frozen=True, eq=False)
class Below:
    """What is below the line of several ratios, in which many are alike: each kind is multiplied once."""

    kinds: Floats
    """(groups, kinds)"""
    kind: Integers
    """That of each ratio: (ratios,)."""

    def weighed(self, drawn: Floats) -> Floats:
        """The sums for many resamples, float (resamples, ratios)."""
        return (drawn @ self.kinds)[:, self.kind]


def stacked(sums: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Below]:
    """What is above the line of several ratios, float (groups, ratios), and what is below."""
    above, below = (np.stack(side, axis=1) for side in zip(*sums, strict=True))
    # numpy.unique of columns compares them as records of as many fields as there are groups, which takes seconds.
    firsts = dict[bytes, int]()
    like = [firsts.setdefault(column.tobytes(), place) for place, column in enumerate(below.T)]
    kinds = [*firsts.values()]
    return above, Below(below[:, kinds], np.array([kinds.index(place) for place in like]))


def _numbered(groups: Sequence[Any]) -> Integers:
    """The number of each row's group, in the order in which they come; a row without one is a group of its own."""
    keys = [("row", str(i)) if name is None else ("group", str(name)) for i, name in enumerate(groups)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], dtype=np.int64)


def _scale(whole: Floats) -> Floats:
    """How large metrics are, as what their digits are counted from."""
    size = np.abs(whole)
    return np.where(size > 0, size, 1.0)


def _column(values: Sequence[Any]) -> NDArray[Any]:
    """Numbers or texts; where some are neither, objects."""
    plain = all(isinstance(value, str | int | float) for value in values)
    if plain:
        return np.array(values)
    objects = np.empty(len(values), dtype=object)
    objects[:] = values
    return objects


def counts(drawn: Integers, groups: int) -> Floats:
    """How often each group was drawn, float (resamples, groups), from the numbers of those drawn (resamples, any)."""
    resamples = len(drawn)
    flat = (drawn + groups * np.arange(resamples)[:, None]).ravel()
    return np.bincount(flat, minlength=resamples * groups).reshape(resamples, groups).astype(float)


def divided(above: Floats, below: Floats) -> Floats:
    """One by the other; nan where there is nothing below."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
