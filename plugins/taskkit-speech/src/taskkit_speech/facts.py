"""What these data state about their inputs and targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskkit import Attachment, Fact, SelfSupervised

MAX_SECONDS = 4 * 3600.0
"""No clip is longer than four hours, unless a person says so: at 16 kHz its samples take 461 MB."""

SUFFIXES = frozenset({".aif", ".aiff", ".au", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".sph", ".wav"})
"""How the names of audio files end, in lower case."""


@dataclass(frozen=True)
class Audio(Fact):
    """Each input is a recording: a `taskkit_speech.audio.Clip`, or the Path of an audio file.

    `taskkit_speech.clips.read_clip` makes int16 samples of either.
    """

    sample_rate: int | None = None
    """Samples a second of all the files; None when they differ."""

    def show(self, value: Any) -> Mapping[str, Attachment]:
        """The beginning of a recording as sound, under how long it is; raises DataError as `read_clip` does."""
        from taskkit_speech.excerpt import excerpt

        return excerpt(value)

    def shades(self, value: Any) -> Sequence[Sequence[float]]:
        """A spectrogram of samples (samples,), the highest band at the top."""
        from taskkit_speech.spectrogram import spectrogram

        return spectrogram(value)

    def agrees(self, other: Fact) -> bool:
        """Whether the other is audio too: whatever its sample rate, it is resampled."""
        return isinstance(other, Audio)


@dataclass(frozen=True)
class Transcript(Fact):
    """Each target is the text of what is said, as a str."""

    language: str = ""
    """The ISO 639-1 code of all of it; empty: not known."""

    def tensors(self) -> Mapping[str, str]:
        """`target`, the numbers of characters, padded with 0; `target_text`, all code points, padded with 0."""
        return {"target": "int (batch, characters)", "target_text": "int (batch, code_points)"}

    def agrees(self, other: Fact) -> bool:
        """Whether the other is a transcript too, of whatever language."""
        return isinstance(other, Transcript)


@dataclass(frozen=True)
class Masked(SelfSupervised):
    """The target is made of the recording itself: its parts that are masked."""

    def tensors(self) -> Mapping[str, str]:
        """`audio`, padded, and `audio_length`, how many samples of each row are real."""
        return {"audio": "int16 (batch, samples)", "audio_length": "int (batch)"}
