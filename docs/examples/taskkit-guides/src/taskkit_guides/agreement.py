"""Cohen's kappa as a function of all answers, without torch: comparing runs imports it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def kappa(target: NDArray[Any], prediction: NDArray[Any], *, sample_weight: NDArray[np.float64]) -> NDArray[Any]:
    """By how much answers are right more often than by chance; nan where chance alone is always right.

    Of names (rows,) each, and float (resamples, rows), how often each row counts; answers float (resamples,).
    Source: Cohen, A coefficient of agreement for nominal scales, 1960.
    """
    names = np.unique(np.concatenate([target, prediction]))
    total = sample_weight.sum(1)
    right = sample_weight @ (target == prediction) / total
    shares = [sample_weight @ (column[:, None] == names) / total[:, None] for column in (target, prediction)]
    chance = (shares[0] * shares[1]).sum(1)
    return np.divide(right - chance, 1 - chance, out=np.full_like(right, np.nan), where=chance < 1)
