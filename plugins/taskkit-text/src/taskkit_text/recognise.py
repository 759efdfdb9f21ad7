"""What a person's table is, if it holds texts and their classes. Without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from taskkit import Guess, UserData, class_columns

TEXTS = ("text", "sentence", "review", "message", "comment", "content", "body", "document", "tweet")
"""What people call a column of texts, in lower case."""
WORDS = 2.5
"""So many words the cells of a column of texts have on average, at least, unless it is called as texts are."""


def guesses(data: UserData) -> Iterator[Guess]:
    """Tables with a column of texts and one of classes."""
    for path, columns in data.tables.items():
        labels = class_columns(columns)
        texts = [name for name, cells in columns.items() if name not in labels and _words(cells) >= WORDS]
        texts.sort(key=lambda name: (name.lower() not in TEXTS, -_words(columns[name])))
        # Short texts may come again and again, as classes do: then the other column is the one of classes.
        text = next(iter(texts or filter(lambda name: _is_called_text(name, columns[name]), columns)), None)
        label = next((name for name in labels if name != text), None)
        if text is None or label is None:
            continue
        named, long = text.lower() in TEXTS, _words(columns[text]) >= WORDS
        yield Guess(
            f"texts in {text!r} with classes in {label!r}",
            [
                f"the cells of {text!r} have {_words(columns[text]):.0f} words on average"
                + (f", {'and' if long else 'but'} the column is called as texts are" if named else ""),
                f"{label!r} has {len(set(columns[label]))} different words",
            ],
            0.9 if named and long else 0.7,
            _recipe({"file": str(path), "text_column": text, "label_column": label}, len(columns[text])),
        )


def _is_called_text(name: str, cells: Sequence[str]) -> bool:
    """Whether a column is called as texts are, and has words in it."""
    return name.lower() in TEXTS and any(character.isalpha() for cell in cells for character in cell)


def _words(cells: Sequence[str]) -> float:
    """Words of a cell on average; of a language without blanks two characters count as one."""
    return fmean(max(len(cell.split()), _wide(cell) / 2) for cell in cells)


def _wide(cell: str) -> int:
    return sum(character >= "\u3040" for character in cell)


def _recipe(data: Mapping[str, Any], rows: int) -> Mapping[str, Any]:
    """The honest baseline, which trains in seconds; a batch is a part of the rows, also where these are few."""
    return {
        "title": "My texts",
        "seed": 7,
        "task": {"name": "text.classification"},
        "model": {"name": "text.bag", "min_count": 1},
        "data": {"name": "text.table", **data},
        "loader": {"batch_size": max(2, min(32, rows // 8))},
        "optim": {"lr": 0.1, "schedule": "linear"},
        "trainer": {"max_epochs": 10},
    }
