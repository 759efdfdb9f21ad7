"""What recordings are like: each is decoded once, and its figures are kept until its file changes."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from taskkit import DataError, FileMemory, file_sha256
from taskkit_speech.audio import Clip, Sound, impossible_rate, opened, too_long

FULL_SCALE = 0.999
"""Samples from here on are taken to be cut off by a recorder that was set too loud."""


class AudioStats(NamedTuple):
    """The figures of one clip."""

    error: str = ""
    """Why it cannot be read; then nothing else is known."""
    seconds: float = 0.0
    sample_rate: int = 0
    channels: int = 0
    swing: float = 0.0
    """Half of what lies between the least and the greatest sample, channels mixed down; 1 is full scale.

    Unlike the largest magnitude it does not hear a constant offset. Infinite where a sample is not a number.
    """
    clipped: float = 0.0
    """The share of samples at full scale."""
    digest: str = ""
    """Equal for clips of equal samples; empty where nothing was decoded, for its header alone refuses it."""
    file: str = ""
    """The sha256 of the whole file."""


FileStats = Mapping[str, AudioStats]
"""The figures of the clips of one file, by their names."""


def probe(clips: Iterable[Clip], remember: str = "") -> dict[Clip, AudioStats]:
    """Decode clips, several files at a time; what is kept under the name `remember` is not decoded again."""
    files: dict[Path, list[Clip]] = {}
    for clip in clips:
        files.setdefault(clip.path, []).append(clip)

    def recall(path: Path) -> FileStats:
        clips = files[path]
        return memory.recall(path, lambda path: _probe_file(path, clips), partial(_are_known, clips))

    with FileMemory("speech.probe", remember, _read_stats) as memory, ThreadPoolExecutor(os.cpu_count()) as pool:
        probed = list(pool.map(recall, files))
    return {clip: stats[str(clip)] for stats, parts in zip(probed, files.values(), strict=True) for clip in parts}


def common_rate(stats: Iterable[AudioStats]) -> int | None:
    """The sample rate of all clips that can be read; None when they differ."""
    rates = {one.sample_rate for one in stats if not one.error}
    return rates.pop() if len(rates) == 1 else None


def _are_known(clips: Sequence[Clip], stats: FileStats) -> bool:
    """Whether there are figures of all clips, those too that are decoded now that a longer one may be."""
    return all(str(clip) in stats and _is_known(stats[str(clip)], clip) for clip in clips)


def _is_known(stats: AudioStats, clip: Clip) -> bool:
    flaw = impossible_rate(stats.sample_rate) or too_long(stats.seconds, clip.max_seconds)
    return bool(stats.error or stats.digest or flaw)


def _probe_file(path: Path, clips: Sequence[Clip]) -> FileStats:
    """The figures of the clips of one file."""
    sha256 = file_sha256(path) if os.path.isfile(path) else ""  # noqa: PTH113 - see `opened`
    return {str(clip): _probe_clip(clip, sha256) for clip in clips}


def _probe_clip(clip: Clip, sha256: str) -> AudioStats:
    try:
        with opened(clip) as sound:
            if impossible_rate(sound.rate) or too_long(sound.seconds, clip.max_seconds):
                return AudioStats("", sound.seconds, sound.rate, sound.channels, file=sha256)
            return _measured(sound, sha256)
    except DataError as error:
        return AudioStats(str(error), file=sha256)


def _measured(sound: Sound, sha256: str) -> AudioStats:
    """The figures of a clip, which is decoded block by block."""
    least, greatest, cut_off, finite = math.inf, -math.inf, 0, True
    digest = hashlib.blake2b(f"{sound.rate} {sound.channels} ".encode(), digest_size=16)
    for block in sound.blocks:
        mono = block.mean(axis=1)
        finite = finite and bool(np.isfinite(block).all())
        least, greatest = min(least, float(mono.min())), max(greatest, float(mono.max()))
        cut_off += int(np.count_nonzero(np.abs(block) >= FULL_SCALE))
        digest.update(np.ascontiguousarray(block).data)
    return AudioStats(
        seconds=sound.seconds,
        sample_rate=sound.rate,
        channels=sound.channels,
        swing=(greatest - least) / 2 if finite else math.inf,
        clipped=cut_off / (sound.samples * sound.channels),
        digest=digest.hexdigest(),
        file=sha256,
    )


def _read_stats(stats: Mapping[str, Iterable[Any]]) -> FileStats:
    return {clip: AudioStats(*figures) for clip, figures in stats.items()}
