"""Spectrograms, for people to see."""

from __future__ import annotations

import math

import torch
from torch import Tensor

BANDS = 48
COLUMNS = 240
"""At most."""
DECIBELS = 60.0
"""So far below the loudest band all is white."""


def spectrogram(samples: Tensor) -> list[list[float]]:
    """How loud each band of frequencies is over time, from 0 to 1, in rows from the highest, of samples (samples,).

    The bands are of one width, up to half the sample rate; loudness is in decibels below the loudest.
    """
    size, hop = 2 * BANDS, BANDS
    sound = torch.nn.functional.pad(samples.float().cpu(), (0, max(0, size - len(samples))))
    power = torch.fft.rfft(sound.unfold(0, size, hop) * torch.hann_window(size)).abs()[:, 1:].square()
    columns = torch.stack([part.mean(dim=0) for part in power.split(math.ceil(len(power) / COLUMNS))])
    loud = 10 * (columns / columns.max().clamp(min=1e-9)).clamp(min=1e-12).log10()
    shades: list[list[float]] = (1 + loud / DECIBELS).clamp(min=0).T.flip(0).tolist()
    return shades
