"""From audio files to int16 samples: one channel, one sample rate."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import soundfile
import torch
import torchaudio
from torch import Tensor

from taskkit import DataError

SUFFIXES = frozenset({".aif", ".aiff", ".au", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".sph", ".wav"})
"""How the names of audio files end, in lower case."""
SLACK = 0.05
"""Seconds by which the end of a span may lie behind that of its file: people round."""
RATES = range(4_000, 384_001)
"""Samples a second that a recorder of speech may write; a header that states others is damaged, and resampling from
them takes any amount of memory."""
STREAMED = 0x7FFF_F000
"""A header that states so many bytes or more was written before the length was known: nothing is missing."""


@dataclass(frozen=True)
class Clip:
    """An audio file, or a span of one."""

    path: Path
    start: float | None = None
    """Seconds; None: from the beginning."""
    end: float | None = None
    """Seconds; None: to the end."""

    def __str__(self) -> str:
        if self.start is None and self.end is None:
            return str(self.path)
        return f"{self.path} ({self.start or 0:g} s to {'the end' if self.end is None else f'{self.end:g} s'})"


def read_clip(clip: Clip | Path, sample_rate: int) -> Tensor:
    """The samples of a clip at this rate: int16 (samples,); channels are mixed down.

    Raises DataError for what is missing, unreadable, cut short or empty, for a span outside of its file, and for a
    sample rate or samples that cannot be.
    """
    clip = Clip(clip) if isinstance(clip, Path) else clip
    samples, rate = read_channels(clip)
    if flaw := impossible_rate(rate) or impossible_peak(float(samples.abs().max())):
        raise DataError(f"{clip}: {flaw}")
    mono = samples.mean(dim=0)
    if rate != sample_rate:
        mono = _resampler(rate, sample_rate)(mono)
    return (mono * 32768).round_().clamp_(-32768, 32767).to(torch.int16)


def read_channels(clip: Clip) -> tuple[Tensor, int]:
    """The samples of a clip as they are in its file, float32 (channels, samples) in -1 to 1, and their rate in Hz.

    Raises DataError as `read_clip` does, but for rates and samples that cannot be.
    """
    if not clip.path.is_file():
        raise DataError(f"{clip.path}: there is no such file. An audio file was expected. Correct the path.")
    try:
        with soundfile.SoundFile(clip.path) as file:
            _check_whole(clip.path, file)
            first, count = _span(clip, file)
            file.seek(first)
            content = file.read(count, dtype="float32", always_2d=True)
            rate = file.samplerate
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{clip.path}: this is not audio that can be read ({_reason(error)}). A whole WAV, FLAC, MP3 or Ogg file "
            "was expected. Replace the file, or take it out of the data."
        ) from None
    if len(content) < count:
        raise _cut_short(clip.path, f"{len(content) / rate:.2f} of {count / rate:.2f} seconds can be decoded")
    return torch.from_numpy(content.T), rate


def impossible_rate(rate: int) -> str:
    """What is wrong with a sample rate in Hz; empty: nothing."""
    if rate in RATES:
        return ""
    return (
        f"its header states {rate:,} Hz. {RATES[0]:,} to {RATES[-1]:,} Hz were expected. Write the true rate into it, "
        "or take the file out."
    )


def impossible_peak(peak: float) -> str:
    """What is wrong with samples of this largest magnitude; empty: nothing."""
    if math.isfinite(peak):
        return ""
    return "some of its samples are not a number. Finite ones were expected. Export the file again, or take it out."


def _span(clip: Clip, file: soundfile.SoundFile) -> tuple[int, int]:
    """The first sample of a clip in its file and how many there are."""
    rate, seconds = file.samplerate, file.frames / file.samplerate
    start, end = clip.start or 0.0, seconds if clip.end is None else clip.end
    if not file.frames:
        raise DataError(f"{clip.path}: it holds no sound. Record it again, or take it out of the data.")
    if not 0 <= start < end or start >= seconds or end > seconds + SLACK:
        raise DataError(
            f"{clip}: there is no such span in a file of {seconds:.2f} s. 0 ≤ start < end ≤ {seconds:.2f} was "
            "expected, in seconds. Correct the span."
        )
    first, last = round(start * rate), min(round(end * rate), file.frames)
    return first, max(last - first, 1)


def _check_whole(path: Path, file: soundfile.SoundFile) -> None:
    """Raise DataError when the header promises more than there is; libsndfile reads the rest without a word."""
    stated = re.search(r"(?:data|SSND|Data Size) *: (\d+) \(should be (\d+)\)", file.extra_info)
    if stated and int(stated[2]) < int(stated[1]) < STREAMED:
        raise _cut_short(path, f"{int(stated[2]):,} of {int(stated[1]):,} bytes are there")


def _reason(error: Exception) -> str:
    """The message of libsndfile without the path, which ours has already."""
    message = str(error).strip().rstrip(".")
    return message.rpartition(": ")[2] if message.startswith("Error opening") else message.removeprefix("Error : ")


def _cut_short(path: Path, what: str) -> DataError:
    return DataError(f"{path}: it is cut short: {what}. A whole file was expected. Copy it again, or take it out.")


@lru_cache(maxsize=16)
def _resampler(rate: int, wanted: int) -> torchaudio.transforms.Resample:
    """Its filter is computed once, not for each clip."""
    return torchaudio.transforms.Resample(rate, wanted)
