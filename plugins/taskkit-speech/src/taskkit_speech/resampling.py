"""Sound at another sample rate, a block at a time: the memory it takes does not depend on how long it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from math import gcd

import numpy as np
from numpy.typing import NDArray
from scipy.signal import firwin, resample_poly

Block = NDArray[np.float32]
HALF = 10
"""Half the length of the filter, in samples of the lower of both rates, as `scipy.signal.resample_poly` has it."""
STEP = 2**18
"""At least so many samples are resampled at a time."""


def resampled_length(samples: int, rate: int, wanted: int) -> int:
    """How many samples there are of so many at another rate."""
    return -(-samples * wanted // rate)


def resampled(blocks: Iterable[Block], rate: int, wanted: int) -> Iterator[Block]:
    """Samples of one channel, float32 (samples,), at `wanted` Hz; the blocks may be of any lengths.

    A polyphase filter takes what the lower rate cannot hold out. It is as long as the ratio of the rates demands, and
    never takes more than 31 MB; each sample is that of all of the sound filtered at once.
    """
    common = gcd(rate, wanted)
    up, down = wanted // common, rate // common
    if up == down:
        yield from blocks
        return
    taps = _filter(up, down)
    # Multiples of `down`, so that a block begins where a sample of the other rate lies.
    margin, step = _multiple(HALF * max(up, down) // up + 1, down), _multiple(STEP, down)
    waiting, before = np.empty(0, np.float32), 0
    for block in blocks:
        waiting = np.concatenate([waiting, block])
        while len(waiting) >= before + step + margin:
            made = resample_poly(waiting[: before + step + margin], up, down, window=taps)
            yield made[before * up // down : (before + step) * up // down]
            waiting = waiting[before + step - margin :]
            before = margin
    yield resample_poly(waiting, up, down, window=taps)[before * up // down :]


@lru_cache(maxsize=4)
def _filter(up: int, down: int) -> Block:
    """The taps of `resample_poly` itself, which would design them anew for each block."""
    longer = max(up, down)
    taps: Block = firwin(2 * HALF * longer + 1, 1 / longer, window=("kaiser", 5.0)).astype(np.float32)
    return taps


def _multiple(number: int, of: int) -> int:
    """The next multiple of a number."""
    return -(-number // of) * of
