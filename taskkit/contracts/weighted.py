"""Metrics that are functions of all examples, for many weightings of the rows at once.

Each takes columns of shape (rows,) and `sample_weight`, float (resamples, rows), and answers float (resamples,).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]
Floats = NDArray[np.float64]


def macro_precision(target: Column, prediction: Column, *, sample_weight: Floats) -> Floats:
    """The mean over classes of the share of their predictions that are right; classes that do not occur are left out.

    A class that is never predicted, but should be, counts as 0.
    """
    right, predicted, actual = _by_class(target, prediction, sample_weight)
    return _macro(_share(right, predicted), predicted + actual)


def macro_recall(target: Column, prediction: Column, *, sample_weight: Floats) -> Floats:
    """The mean over classes of the share of their examples that are found; classes that do not occur are left out."""
    right, predicted, actual = _by_class(target, prediction, sample_weight)
    return _macro(_share(right, actual), predicted + actual)


def macro_f1(target: Column, prediction: Column, *, sample_weight: Floats) -> Floats:
    """The mean over classes of the harmonic mean of precision and recall; classes that do not occur are left out."""
    right, predicted, actual = _by_class(target, prediction, sample_weight)
    return _macro(_share(2 * right, predicted + actual), predicted + actual)


def root_mean(squared: Column, *, sample_weight: Floats) -> Floats:
    """The root of a mean, as RMSE is of squared errors."""
    return np.asarray(np.sqrt(sample_weight @ squared / sample_weight.sum(1)))


def r2(target: Column, prediction: Column, *, sample_weight: Floats) -> Floats:
    """The share of the variance of the targets, one number each, that is explained; nan where they do not vary."""
    centred = target - target.mean()
    total = sample_weight.sum(1)
    spread = sample_weight @ centred**2 - (sample_weight @ centred) ** 2 / total
    unexplained = sample_weight @ (target - prediction) ** 2
    return np.asarray(1 - np.divide(unexplained, spread, out=np.full_like(spread, np.nan), where=spread > 0))


def mean_r2(*columns: Column, sample_weight: Floats) -> Floats:
    """The mean of R² over several values: first the targets of each value, then its predictions."""
    targets, predictions = columns[: len(columns) // 2], columns[len(columns) // 2 :]
    each = [r2(*pair, sample_weight=sample_weight) for pair in zip(targets, predictions, strict=True)]
    return np.asarray(np.mean(each, axis=0))


def calibration_gaps(probability: Column, correct: Column, *, sample_weight: Floats) -> Floats:
    """By how much the right answers in each of 15 bins of probability fall short of it, as shares of all examples.

    Answers float (resamples, bins); the sum of their sizes is the expected calibration error. The bins are those of
    torchmetrics: a probability of 1 has one of its own.
    """
    # As torch.linspace has them, whose last bits are not numpy's: from both ends, in steps of 32 bits.
    places, step = np.arange(16), float(np.float32(1) / np.float32(15))
    edges = np.where(places < 8, step * places, 1 - step * (15 - places)).astype(np.float32)
    bins = np.searchsorted(edges, probability.astype(np.float32), side="right") - 1
    short = _one_hot(bins, len(edges)) * (probability - correct)[:, None]
    return np.asarray(sample_weight @ short / sample_weight.sum(1, keepdims=True))


FUNCTIONS = {
    each.__name__: each for each in (macro_precision, macro_recall, macro_f1, root_mean, r2, mean_r2, calibration_gaps)
}
"""Those that every task may use, by their public name."""


def _by_class(target: Column, prediction: Column, weight: Floats) -> tuple[Floats, Floats, Floats]:
    """For each class how much weight is right, predicted and actual: float (resamples, classes) each."""
    classes, numbers = np.unique(np.concatenate([target, prediction]), return_inverse=True)
    actual, predicted = (_one_hot(part, len(classes)) for part in np.split(numbers, [len(target)]))
    return weight @ (actual * predicted), weight @ predicted, weight @ actual


def _one_hot(places: NDArray[np.int_], count: int) -> Floats:
    return np.asarray(places[:, None] == np.arange(count), dtype=float)


def _share(part: Floats, whole: Floats) -> Floats:
    return np.asarray(np.divide(part, whole, out=np.zeros_like(part), where=whole > 0))


def _macro(scores: Floats, occurs: Floats) -> Floats:
    present = occurs > 0
    return np.asarray((scores * present).sum(1) / present.sum(1))
