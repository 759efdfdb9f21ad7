"""What every data module of texts does with its labelled rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from taskkit import Classes, DataError, DataModule, DataProblem, Example, Split
from taskkit_text import inspection
from taskkit_text.examples import Labelled
from taskkit_text.facts import Text


class TextData(DataModule):
    """Texts and their classes, which those of the training split decide."""

    splits: dict[Split, list[Example]]
    classes: Classes

    def keep(self, rows: Sequence[Labelled], names: Iterable[str] = ()) -> tuple[Text, Classes]:
        """Take rows that each have a split, and state what they are; `names` are classes whose order is known.

        Raises DataError when nothing is left to train on, there is one class only, or a held-out row has another one.
        """
        self.classes = Classes.of((row.label for row in rows if row.split == "train"), names)
        if len(self.classes.names) < 2:
            there = (
                f"all texts to train on have the class {self.classes.names[0]!r}" if self.classes.names else "no text"
            )
            raise DataError(
                f"{rows[0].where.rpartition(': ')[0]}: {there}. Texts of two classes or more were expected."
            )
        self.splits = {split: [] for split in ("train", "val", "test")}
        for row in rows:
            assert row.split is not None
            number = self.classes.number(row.label, row.where)
            self.splits[row.split].append(Example(row.id, row.text, number))
        return Text(pairs=isinstance(rows[0].text, tuple)), self.classes

    def examples(self, split: Split) -> Sequence[Example]:
        """The texts of a split."""
        return self.splits[split]

    def inspect(self) -> Iterable[DataProblem]:
        """Look for empty and damaged texts, duplicates, leaks, odd scripts and lengths, and skew."""
        return inspection.problems(self.splits, self.classes)
