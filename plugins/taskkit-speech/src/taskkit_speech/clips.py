"""From audio files to int16 tensors."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from taskkit_speech.audio import Clip, read_samples


def read_clip(clip: Clip | Path, sample_rate: int) -> Tensor:
    """The samples of a clip at this rate: int16 (samples,); raises DataError as `read_samples` does."""
    return torch.from_numpy(read_samples(clip, sample_rate))
