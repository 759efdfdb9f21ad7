"""What recordings are like: each is decoded once, and its figures are kept until its file changes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from taskkit import DataError, FileMemory, file_sha256
from taskkit_speech.audio import Clip, read_channels

FULL_SCALE = 0.999
"""Samples from here on are taken to be cut off by a recorder that was set too loud."""


class AudioStats(NamedTuple):
    """The figures of one clip."""

    error: str = ""
    """Why it cannot be read; then nothing else is known."""
    seconds: float = 0.0
    sample_rate: int = 0
    channels: int = 0
    peak: float = 0.0
    """The largest magnitude once the channels are mixed down; 1 is full scale."""
    clipped: float = 0.0
    """The share of samples at full scale."""
    digest: str = ""
    """Equal for clips of equal samples."""
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
        names = set(map(str, files[path]))
        return memory.recall(path, lambda path: _probe_file(path, files[path]), lambda stats: names <= stats.keys())

    with FileMemory("speech.stats", remember, _read_stats) as memory, ThreadPoolExecutor(os.cpu_count()) as pool:
        probed = list(pool.map(recall, files))
    return {clip: stats[str(clip)] for stats, parts in zip(probed, files.values(), strict=True) for clip in parts}


def common_rate(stats: Iterable[AudioStats]) -> int | None:
    """The sample rate of all clips that can be read; None when they differ."""
    rates = {one.sample_rate for one in stats if not one.error}
    return rates.pop() if len(rates) == 1 else None


def _probe_file(path: Path, clips: Sequence[Clip]) -> FileStats:
    """The figures of the clips of one file."""
    sha256 = file_sha256(path) if path.is_file() else ""
    return {str(clip): _probe_clip(clip, sha256) for clip in clips}


def _probe_clip(clip: Clip, sha256: str) -> AudioStats:
    try:
        samples, rate = read_channels(clip)
    except DataError as error:
        return AudioStats(str(error), file=sha256)
    mono = samples.mean(dim=0)
    cut_off = (samples >= FULL_SCALE) | (samples <= -FULL_SCALE)
    digest = hashlib.blake2b(f"{rate} {len(samples)} ".encode(), digest_size=16)
    digest.update(samples.contiguous().numpy().data)
    return AudioStats(
        seconds=samples.shape[1] / rate,
        sample_rate=rate,
        channels=len(samples),
        peak=max(float(mono.max()), -float(mono.min())),
        clipped=int(cut_off.sum()) / cut_off.numel(),
        digest=digest.hexdigest(),
        file=sha256,
    )


def _read_stats(stats: Mapping[str, Iterable[Any]]) -> FileStats:
    return {clip: AudioStats(*figures) for clip, figures in stats.items()}
