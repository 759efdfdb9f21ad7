"""The way from a history to what is recommended, in arrays, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskkit import ArrayProcessor, Arrays, ArrayTask, DataError, DataSpec, Example, Prediction
from taskkit_recsys.facts import Histories
from taskkit_recsys.history import History
from taskkit_recsys.options import Recommend
from taskkit_recsys.reading import Directory, ReadHistory, read_histories, requested_history

NONE = -1
"""Stands in arrays where there is no item or no user."""
FILL_VALUES = {"target_seen": NONE}
"""What fills up the fields whose length differs from sample to sample."""
CATALOGUES = ("users", "items", "titles")
"""The fields of Histories that hold names."""


class HistoryArrays(ArrayProcessor):
    """The newest items of a history, which is to be continued."""

    predict_options = ReadHistory
    fill_values = FILL_VALUES

    def __init__(self, section: Any, spec: DataSpec, state: Mapping[str, Any]) -> None:
        self.window, self.starts, self.taken = state["window"], state["starts"], state["taken"]
        self.directory = Directory(histories(state["names"]))
        self.counts = np.bincount(self.taken, minlength=len(self.directory.histories.items))

    def read(self, source: str, options: ReadHistory) -> Sequence[Example]:
        """Histories of a file of them, or of item ids; raises DataError for what is neither."""
        return read_histories(source, options, self.directory)

    def requested(self, options: ReadHistory) -> Sequence[Example]:
        """The history that a user had in training; raises DataError for a user that is not known."""
        return requested_history(options, self.directory, self._history_of)

    def encode(self, example: Example) -> Sequence[Arrays]:
        """See `query`."""
        return [query(history_of(example), self.window)]

    def _history_of(self, user: int) -> Sequence[int]:
        taken: list[int] = self.taken[self.starts[user] : self.starts[user + 1]].tolist()
        return taken


class NextItemArrays(ArrayTask):
    """The best items for each history, of vectors of queries and items, or of scores."""

    predict_options = Recommend

    def predict(
        self, batch: Arrays, outputs: Arrays, examples: Sequence[Example], options: Recommend
    ) -> Sequence[Prediction]:
        """The best items for each history, with titles and scores; for an empty one those that most users took."""
        known, counts = self.processor.directory.histories, self.processor.counts.astype(np.float32)
        predictions: list[Prediction] = []
        for at, history in enumerate(batch["history"]):
            if (history == NONE).all():
                popular = listed(known, *best(counts, None, options.top))
                predictions.append({"prediction": popular, "remark": EMPTY})
                continue
            seen = batch["target_seen"][at] if options.filter_seen else None
            predictions.append({"prediction": listed(known, *best(_scores(outputs, at), seen, options.top))})
        return predictions


EMPTY = "an empty history: what most users took"


def query(history: History, window: int) -> dict[str, Any]:
    """`history`: int32 (window + 1,), the newest items, NONE after their end, and `user`: its number or NONE.

    `target_seen`: int32, the different items of the whole history, in order.
    """
    taken = np.asarray(history.items, np.int32)
    return {
        "history": padded(taken[-window:], window + 1),
        "user": np.array(NONE if history.user is None else history.user, np.int32),
        "target_seen": np.unique(taken),
    }


def best(scores: NDArray[np.float32], seen: Any, k: int) -> tuple[list[int], list[float]]:
    """The k items of the highest scores (items,), best first, and these; of equal ones the first, of `seen` none."""
    scores = np.nan_to_num(scores, nan=-np.inf)
    ordered = np.argsort(-scores, kind="stable")
    if seen is not None:
        new = np.ones(len(scores) + 1, bool)
        new[seen] = False  # NONE is the last one, which is no item's
        ordered = ordered[new[ordered]]
    return ordered[:k].tolist(), scores[ordered[:k]].tolist()


def listed(known: Histories, items: Sequence[int], scores: Sequence[float]) -> list[dict[str, Any]]:
    """Items by what people call them, best first."""
    return [
        {"rank": place, "item": known.items[item], "title": known.title(item), "score": score}
        for place, (item, score) in enumerate(zip(items, scores, strict=True), 1)
        if item != NONE
    ]


def history_of(example: Example) -> History:
    """The input of an example; raises DataError where it is no History."""
    if not isinstance(example.input, History):
        raise DataError(f"{example.id}: its input is a {type(example.input).__name__}. A History was expected.")
    return example.input


def histories(names: Mapping[str, Any]) -> Histories:
    """Users and items by the names in a processor's state: UTF-8, and how many bytes each name has."""
    fields = dict(names)
    for field in CATALOGUES:
        text, lengths = np.asarray(fields[field]["text"]).tobytes(), np.asarray(fields[field]["lengths"], np.int64)
        fields[field] = [text[start:end].decode() for start, end in pairwise([0, *lengths.cumsum().tolist()])]
    return Histories(**fields)


def padded(items: NDArray[np.int32], size: int) -> NDArray[np.int32]:
    """Items, with NONE after their end."""
    filled = np.full(size, NONE, np.int32)
    filled[: len(items)] = items
    return filled


def _scores(outputs: Arrays, at: int) -> NDArray[np.float32]:
    if "values" in outputs:
        values: NDArray[np.float32] = outputs["values"][at].astype(np.float32)
        return values
    scores: NDArray[np.float32] = outputs["item"].astype(np.float32) @ outputs["query"][at].astype(np.float32)
    return scores + outputs["bias"].astype(np.float32) if "bias" in outputs else scores
