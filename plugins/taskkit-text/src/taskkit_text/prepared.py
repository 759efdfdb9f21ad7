"""Labelled texts that were read and split, as the host takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from taskkit import Classes, DataError, DataProblem, DataSpec, Example, Origin, Prepared, Split
from taskkit_text import inspection
from taskkit_text.examples import Labelled
from taskkit_text.facts import Text


def prepared(
    rows: Sequence[Labelled],
    fingerprint: str,
    origins: tuple[Origin, ...],
    protocol: Mapping[str, Any],
    names: Iterable[str] = (),
    known: Sequence[DataProblem] = (),
) -> Prepared:
    """Rows that each have a split, with their facts and a look for what is wrong with them.

    The classes are those of the training rows; `names` are those whose order is known. `known` are problems that
    reading found. Raises DataError when nothing is left to train on, there is one class only, or a held-out row has
    another one.
    """
    classes = Classes.of((row.label for row in rows if row.split == "train"), names)
    if len(classes) < 2:
        there = f"all texts to train on have the class {classes.names[0]!r}" if classes.names else "no text"
        raise DataError(f"{rows[0].where.rpartition(': ')[0]}: {there}. Texts of two classes or more were expected.")
    splits: dict[Split, list[Example]] = {"train": [], "val": [], "test": []}
    for row in rows:
        assert row.split is not None
        splits[row.split].append(Example(row.id, row.text, classes.number(row.label, row.where), row.author))
    spec = DataSpec(Text(pairs=isinstance(rows[0].text, tuple)), classes, fingerprint, origins, protocol)
    return Prepared(spec, splits, lambda: chain(known, inspection.problems(splits, classes)))
