"""How perplexity follows from what is kept of each document; without torch, so that runs can be compared quickly."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def perplexity(nats: NDArray[Any], tokens: NDArray[Any], *, sample_weight: NDArray[Any]) -> NDArray[Any]:
    """The exponential of nats (documents,) for each token (documents,): float (resamples,)."""
    return np.asarray(np.exp(sample_weight @ nats / (sample_weight @ tokens)))
