"""Word and character errors: counted for each utterance, divided over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor
from torchmetrics import Metric

Tally = Mapping[str, Tensor]
"""For each utterance the errors and the length of its reference, in words and in characters, and whether the answer is
empty although something was said: each int64, (batch,)."""
CANDIDATES = 300
"""Transcripts among which the best constant answer is looked for."""


def tally(answers: Sequence[str], references: Sequence[str]) -> Tally:
    """Count substitutions, insertions and deletions; words are parted by blanks, and blanks are characters."""
    columns: dict[str, list[int]] = {
        name: [] for name in ("word_errors", "words", "character_errors", "characters", "silent")
    }
    for answer, reference in zip(answers, references, strict=True):
        columns["word_errors"].append(Levenshtein.distance(answer.split(), reference.split()))
        columns["words"].append(len(reference.split()))
        columns["character_errors"].append(Levenshtein.distance(answer, reference))
        columns["characters"].append(len(reference))
        columns["silent"].append(int(not answer and bool(reference)))
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

    def update(self, preds: Tally, target: Any = None) -> None:
        """Add a batch; what is compared with is in the tallies already. Without a second column, utterances count."""
        count, total = self.names
        self.count += preds[count].sum()
        self.total += preds[count].numel() if total is None else preds[total].sum()

    def compute(self) -> Tensor:
        """The rate so far."""
        return self.count / self.total.clamp(min=1)


def rate(answers: Sequence[str], references: Sequence[str], unit: str) -> float:
    """The errors for each `word` or `character` of the references."""
    found = tally(answers, references)
    return float(found[f"{unit}_errors"].sum() / found[f"{unit}s"].sum().clamp(min=1))


def best_constant(references: Sequence[str], unit: str) -> str:
    """Of the first transcripts the one that, given as the answer to all of them, makes the fewest errors."""
    some = references[:CANDIDATES]
    return min(dict.fromkeys(some), key=lambda answer: rate([answer] * len(some), some, unit))
