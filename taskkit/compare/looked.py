"""Whether figures are the best of many that were looked at on one test split, as studies record it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from taskkit.compare.reading import Tested
from taskkit.errors import CheckpointError
from taskkit.runs import study as records

MANY = 5
"""So many methods on one test split are said also where all of them are compared."""


def looked(methods: Sequence[Sequence[Tested]]) -> Iterator[str]:
    """For each study and test split, in words: how many methods it looked at, where a choice among them can mislead.

    It can where others were looked at than are compared here, or many were.
    """
    of = dict[tuple[Path, str, str], int]()
    for runs in methods:
        first = runs[0]
        if (study := records.around(first.path)) is not None:
            key = (study, first.protocol.splits, first.protocol.headline[0])
            of[key] = of.get(key, 0) + 1
    for (study, splits, metric), here in of.items():
        try:
            asked = next(
                (each for each in records.read(study).tests if (each.splits, each.metric) == (splits, metric)), None
            )
        except CheckpointError as error:
            yield f"How often the test split was asked is not known: {error}"
            continue
        if asked is not None and (asked.methods > here or asked.methods >= MANY):
            are = "is" if here == 1 else "are"
            shown = f"; {here} of them {are} compared here" if asked.methods > here else ""
            yield (
                f"The runs of {study.name} asked this test split {asked.times} times, of {asked.methods} methods"
                f"{shown}. The best of many on one test split is better there than it would be on other examples: "
                "choose by validation, and test what was chosen."
            )
