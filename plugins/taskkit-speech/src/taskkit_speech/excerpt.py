"""The beginning of a recording, for people to hear."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import soundfile

from taskkit import Attachment
from taskkit_speech.audio import Clip, opened
from taskkit_speech.clips import read_clip

SECONDS = 8.0
"""What is longer is cut."""
RATE = 16_000
"""Samples a second that speech is played with, or fewer where it was recorded so."""


def excerpt(value: Clip | Path) -> Mapping[str, Attachment]:
    """The first seconds of a recording without loss, as FLAC, under how long all of it is."""
    clip = Clip(value) if isinstance(value, Path) else value
    with opened(clip) as sound:
        seconds, rate = sound.seconds, min(sound.rate, RATE)
    start = clip.start or 0.0
    cut = seconds > SECONDS
    samples = read_clip(replace(clip, start=start, end=start + SECONDS) if cut else clip, rate)
    file = io.BytesIO()
    soundfile.write(file, samples.numpy(), rate, format="FLAC", subtype="PCM_16")
    said = f"the first {SECONDS:g} of {seconds:.1f} s" if cut else f"{seconds:.1f} s"
    return {said: Attachment(file.getvalue(), ".flac")}
