"""Rows that were read and split, as the host takes them."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from taskkit import (
    DataProblem,
    DataSpec,
    Example,
    ExampleLook,
    Origin,
    Prepared,
    Split,
    Values,
    find_duplicates,
)

from taskkit_tabular.sections import Rows

Splits = Mapping[Split, Sequence[Example]]


def prepared(
    splits: Splits,
    facts: Rows,
    targets: Sequence[str],
    fingerprint: str,
    protocol: Mapping[str, Any],
    origins: tuple[Origin, ...] = (),
) -> Prepared:
    """Rows with their facts; `targets` are the names of the numbers to predict.

    Raises DataError where there is no row to train on, or a target is not finite.
    """
    values = Values.of([example.target for example in splits["train"]], targets)
    spec = DataSpec(facts, values, fingerprint, origins, protocol)
    return Prepared(spec, splits, partial(problems, splits, facts))


def problems(splits: Splits, facts: Rows) -> Iterator[DataProblem]:
    """What `taskkit check --data` says: rows that are there twice or in two splits, and columns that say nothing."""
    looks = [
        # Of rows that are alike the targets may differ: it is what a regression is there for.
        ExampleLook(split, example.id, tuple(example.input.values()))
        for split, examples in splits.items()
        for example in examples
    ]
    yield from find_duplicates(looks, "row")
    for name in (*facts.numbers, *facts.categories):
        cells = {example.input[name] for example in splits["train"]}
        if len(cells) == 1:
            message = (
                f"Column {name!r} is {cells.pop()!r} in all rows to train on. Leave it out: nothing is learnt of it."
            )
            yield DataProblem("warning", "constant", message)
