"""Word and character errors: counted for each utterance, divided over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor
from torchmetrics import Metric

Tally = Mapping[str, Tensor]
"""For each utterance the errors and the length of its reference, in words and in characters, and whether the
prediction is empty although the reference is not: each int64, (batch,)."""
CANDIDATES = 300
"""Transcripts among which the best constant prediction is looked for."""


def count_errors(predictions: Sequence[str], references: Sequence[str]) -> Tally:
    """Count substitutions, insertions and deletions; words are parted by blanks, and blanks are characters."""
    columns: dict[str, list[int]] = {
        name: [] for name in ("word_errors", "words", "character_errors", "characters", "silent")
    }
    for prediction, reference in zip(predictions, references, strict=True):
        columns["word_errors"].append(Levenshtein.distance(prediction.split(), reference.split()))
        columns["words"].append(len(reference.split()))
        columns["character_errors"].append(Levenshtein.distance(prediction, reference))
        columns["characters"].append(len(reference))
        columns["silent"].append(int(not prediction and bool(reference)))
    return {name: torch.tensor(values) for name, values in columns.items()}


class Rate(Metric):
    """One column of tallies, summed over all utterances, for each of another; 0 where that sums to nothing."""

    full_state_update = False
    higher_is_better = False
    count: Tensor
    total: Tensor

    def __init__(self, count: str, total: str | None) -> None:
        super().__init__()
        self.names = count, total
        for state in ("count", "total"):
            self.add_state(state, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, tally: Tally) -> None:
        """Add a batch; without a second column, utterances count."""
        count, total = self.names
        self.count += tally[count].sum()
        self.total += tally[count].numel() if total is None else tally[total].sum()

    def compute(self) -> Tensor:
        """The rate so far, a scalar."""
        return self.count / self.total.clamp(min=1)


def rate(predictions: Sequence[str], references: Sequence[str], unit: str) -> float:
    """The errors for each `word` or `character` of the references."""
    tally = count_errors(predictions, references)
    return float(tally[f"{unit}_errors"].sum() / tally[f"{unit}s"].sum().clamp(min=1))


def best_constant(references: Sequence[str], unit: str) -> str:
    """Of the first transcripts the one that, predicted for all of them, makes the fewest errors."""
    some = references[:CANDIDATES]
    return min(dict.fromkeys(some), key=lambda text: rate([text] * len(some), some, unit))
