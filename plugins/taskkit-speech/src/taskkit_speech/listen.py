"""What recordings are like: each is decoded once, and what was heard is remembered until its file changes."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from taskkit import DataError, cache_directory
from taskkit_speech.audio import Clip, read_channels

FULL_SCALE = 0.999
"""Samples from here on are taken to be cut off by a recorder that was set too loud."""


class Heard(NamedTuple):
    """One clip as it was heard."""

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


class _Remembered(NamedTuple):
    bytes: int
    modified: int
    """Nanoseconds; with `bytes` it tells whether the file changed."""
    clips: Mapping[str, Heard]


def listen(clips: Iterable[Clip], remember: str = "") -> dict[Clip, Heard]:
    """Decode clips, several files at a time; those heard before under the name `remember` are not decoded again."""
    files: dict[Path, list[Clip]] = {}
    for clip in clips:
        files.setdefault(clip.path, []).append(clip)
    memory = _memory(remember) if remember else None
    known = _recall(memory) if memory else {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        heard = list(pool.map(lambda path: _file(files[path], known.get(str(path))), files))
    now = {str(path): file for path, file in zip(files, heard, strict=True) if file.bytes}
    if memory and now != known:
        _keep(memory, now)
    return {clip: file.clips[str(clip)] for file, asked in zip(heard, files.values(), strict=True) for clip in asked}


def common_rate(heard: Iterable[Heard]) -> int | None:
    """The sample rate of all clips that can be read; None when they differ."""
    rates = {one.sample_rate for one in heard if not one.error}
    return rates.pop() if len(rates) == 1 else None


def _file(clips: Sequence[Clip], known: _Remembered | None) -> _Remembered:
    """What is heard in the clips of one file."""
    path = clips[0].path
    status = path.stat() if path.is_file() else None
    size, modified = (status.st_size, status.st_mtime_ns) if status else (0, 0)
    if known and (known.bytes, known.modified) == (size, modified) and all(str(clip) in known.clips for clip in clips):
        return known
    sha256 = ""
    if status:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return _Remembered(size, modified, {str(clip): _hear(clip, sha256) for clip in clips})


def _hear(clip: Clip, sha256: str) -> Heard:
    try:
        samples, rate = read_channels(clip)
    except DataError as error:
        return Heard(str(error), file=sha256)
    mono = samples.mean(dim=0)
    cut_off = (samples >= FULL_SCALE) | (samples <= -FULL_SCALE)
    digest = hashlib.blake2b(f"{rate} {len(samples)} ".encode(), digest_size=16)
    digest.update(samples.contiguous().numpy().data)
    return Heard(
        seconds=samples.shape[1] / rate,
        sample_rate=rate,
        channels=len(samples),
        peak=max(float(mono.max()), -float(mono.min())),
        clipped=int(cut_off.sum()) / cut_off.numel(),
        digest=digest.hexdigest(),
        file=sha256,
    )


def _memory(name: str) -> Path:
    return cache_directory() / "speech.heard" / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def _recall(memory: Path) -> dict[str, _Remembered]:
    try:
        files: dict[str, Any] = json.loads(memory.read_text())
        return {
            path: _Remembered(size, modified, {clip: Heard(*facts) for clip, facts in clips.items()})
            for path, (size, modified, clips) in files.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _keep(memory: Path, files: Mapping[str, _Remembered]) -> None:
    """Write it whole or not at all; a cache that cannot be written only costs time."""
    with suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=memory.parent, delete=False) as file:
            json.dump(files, file)
        Path(file.name).replace(memory)
