"""From audio files to int16 samples: one channel, one sample rate."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from taskkit import DataError
from taskkit_speech.facts import MAX_SECONDS
from taskkit_speech.resampling import Block, resampled, resampled_length

SLACK = 0.05
"""Seconds by which the end of a span may lie behind that of its file: people round."""
RATES = range(4_000, 384_001)
"""Samples a second that a recorder of speech may write; a header that states others is damaged."""
STREAMED = 0x7FFF_F000
"""A header that states so many bytes or more was written before the length was known: nothing is missing."""
ENDLESS = 2**62
"""So many samples libsndfile makes of a FLAC header that does not say how many there are."""
OGG, PAGE_HEADER, LARGEST_PAGE = b"OggS", 27, 65_307
"""How a page of an Ogg file begins, and how many bytes its header and all of it have at most."""
UNREADABLE = {
    "flac decoder lost sync": "it is cut short or damaged: its FLAC decoder lost its place",
    "File does not exist or is not": "it is cut short or damaged: nothing of it can be decoded",
}
"""What libsndfile says, by its beginning, of files that are there, and what that means."""
BLOCK = 2**20
"""So many samples of all channels together are decoded at a time: 4 MB."""


@dataclass(frozen=True)
class Clip:
    """An audio file, or a span of one."""

    path: Path
    start: float | None = None
    """Seconds; None: from the beginning."""
    end: float | None = None
    """Seconds; None: to the end."""
    max_seconds: float = MAX_SECONDS
    """One that lasts longer by its header is not decoded."""
    name: str = ""
    """What messages call the file, as by a pseudonym; empty: its path."""

    @property
    def shown(self) -> str:
        """What messages call the file."""
        return self.name or str(self.path)

    def __str__(self) -> str:
        if self.start is None and self.end is None:
            return self.shown
        return f"{self.shown} ({self.start or 0:g} s to {'the end' if self.end is None else f'{self.end:g} s'})"


class Sound(NamedTuple):
    """What the header of a clip says, and its samples, which are decoded as they are asked for."""

    rate: int
    """Samples a second."""
    channels: int
    samples: int
    """Of each channel."""
    blocks: Iterator[Block]
    """float32 (samples, channels), in -1 to 1, of all blocks together as many samples as the header says."""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.samples / self.rate


def read_samples(clip: Clip | Path, sample_rate: int) -> NDArray[np.int16]:
    """The samples of a clip at this rate: int16 (samples,); channels are mixed down.

    It takes 2 bytes for each sample and some megabytes, however many channels there are and at whatever rate. Raises
    DataError for what is missing, unreadable, cut short or empty, for a span outside of its file, for a sample rate or
    samples that cannot be, and, before anything is decoded, for a clip of more than its `max_seconds`.
    """
    clip = Clip(clip) if isinstance(clip, Path) else clip
    with opened(clip) as sound:
        if flaw := impossible_rate(sound.rate) or too_long(sound.seconds, clip.max_seconds):
            raise DataError(f"{clip}: {flaw}")
        samples = np.zeros(resampled_length(sound.samples, sound.rate, sample_rate), np.int16)
        filled = 0
        for block in resampled(_mono(clip, sound), sound.rate, sample_rate):
            samples[filled : filled + len(block)] = np.rint(block * 32768).clip(-32768, 32767)
            filled += len(block)
    return samples


@contextmanager
def opened(clip: Clip) -> Iterator[Sound]:
    """The sound of a clip of which only the header has been read.

    Raises DataError as `read_samples` does, but for rates, lengths and samples that cannot be.
    """
    if not os.path.isfile(clip.path):  # noqa: PTH113 - Path.is_file raises OSError for a name that is too long
        what = "this is no regular file" if os.path.lexists(clip.path) else "there is no such file"
        raise DataError(f"{clip.shown}: {what}. An audio file was expected. Correct the path.")
    try:
        # Without its name, since libsndfile takes any file for sound that is called .au, .snd, .vox or .gsm.
        _check_last_page(clip)
        with clip.path.open("rb") as content, soundfile.SoundFile(content.fileno(), closefd=False) as file:
            _check_whole(clip, file)
            first, count = _span(clip, file)
            yield Sound(file.samplerate, file.channels, count, _blocks(clip, file, first, count))
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{clip.shown}: this is not audio that can be read ({_kind(clip.path) or _reason(error)}). A whole WAV, "
            "FLAC, MP3 or Ogg file was expected. Replace the file, or take it out of the data."
        ) from None


def impossible_rate(rate: int) -> str:
    """What is wrong with a sample rate in Hz; empty: nothing."""
    if rate in RATES:
        return ""
    return (
        f"its header states {rate:,} Hz. {RATES[0]:,} to {RATES[-1]:,} Hz were expected. Write the true rate into it, "
        "or take the file out."
    )


def too_long(seconds: float, max_seconds: float) -> str:
    """What is wrong with a clip of so many seconds; empty: nothing."""
    if seconds <= max_seconds:
        return ""
    return (
        f"it lasts {round(seconds, 2):,.10g} s by its header. At most {max_seconds:,.10g} s were expected, "
        "max_seconds. Cut it into parts, or raise the limit if it is that long."
    )


def impossible_samples(finite: bool) -> str:
    """What is wrong with samples of which all are finite or not; empty: nothing."""
    if finite:
        return ""
    return "some of its samples are not a number. Finite ones were expected. Export the file again, or take it out."


def _mono(clip: Clip, sound: Sound) -> Iterator[Block]:
    """The blocks of a clip with its channels mixed down."""
    for block in sound.blocks:
        if flaw := impossible_samples(bool(np.isfinite(block).all())):
            raise DataError(f"{clip}: {flaw}")
        yield block.mean(axis=1)


def _blocks(clip: Clip, file: soundfile.SoundFile, first: int, count: int) -> Iterator[Block]:
    """The samples from `first` on; raises DataError when there are fewer than `count`."""
    if first:  # files of some codecs can be read from their beginning alone
        file.seek(first)
    left = count
    while left:
        block: Block = file.read(min(left, max(1, BLOCK // file.channels)), dtype="float32", always_2d=True)
        if not len(block):
            rate = file.samplerate
            raise _cut_short(clip, f"{(count - left) / rate:.2f} of {count / rate:.2f} seconds can be decoded")
        left -= len(block)
        yield block


def _span(clip: Clip, file: soundfile.SoundFile) -> tuple[int, int]:
    """The first sample of a clip in its file and how many there are."""
    rate, seconds = file.samplerate, file.frames / file.samplerate
    start, end = clip.start or 0.0, seconds if clip.end is None else clip.end
    if not file.frames:
        raise DataError(f"{clip.shown}: it holds no sound. Record it again, or take it out of the data.")
    if file.frames >= ENDLESS:
        raise DataError(
            f"{clip.shown}: its header does not say how long it is. A FLAC file that does was expected. Write it "
            "again, as with `flac` or `ffmpeg` from one file to another."
        )
    if not 0 <= start < end or start >= seconds or end > seconds + SLACK:
        raise DataError(
            f"{clip}: there is no such span in a file of {seconds:.2f} s. 0 ≤ start < end ≤ {seconds:.2f} was "
            "expected, in seconds. Correct the span."
        )
    first, last = round(start * rate), min(round(end * rate), file.frames)
    return first, max(last - first, 1)


def _check_whole(clip: Clip, file: soundfile.SoundFile) -> None:
    """Raise DataError when the header promises more than there is; libsndfile reads the rest without a word."""
    stated = re.search(r"(?:data|SSND|Data Size) *: (\d+) \(should be (\d+)\)", file.extra_info)
    if stated and int(stated[2]) < int(stated[1]) < STREAMED:
        raise _cut_short(clip, f"{int(stated[2]):,} of {int(stated[1]):,} bytes are there")


def _check_last_page(clip: Clip) -> None:
    """Raise DataError for an Ogg file that ends within a page; libsndfile reads what is before it without a word."""
    with clip.path.open("rb") as file:
        if file.read(len(OGG)) != OGG:
            return
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LARGEST_PAGE))
        page = file.read()
    page = page[max(page.rfind(OGG), 0) :]
    # Behind the header stand the sizes of the parts of a page, and at its end their number.
    count = page[PAGE_HEADER - 1] if len(page) >= PAGE_HEADER else 1
    sizes = page[PAGE_HEADER : PAGE_HEADER + count]
    if len(sizes) < count or len(page) < PAGE_HEADER + count + sum(sizes):
        raise _cut_short(clip, f"it ends within a page of Ogg, of which {len(page):,} bytes are there")


def _kind(path: Path) -> str:
    """What a file is that telephones write and libsndfile does not read, with what to do; empty: something else."""
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:
        return ""
    name = "MPEG-4, such as .m4a" if start[4:8] == b"ftyp" else "AMR" if start.startswith(b"#!AMR") else ""
    return f"it is {name}: convert it, for instance with `ffmpeg -i FILE FILE.flac`" if name else ""


def _reason(error: Exception) -> str:
    """The message of libsndfile without the path, which ours has already."""
    message = str(error).strip().rstrip(".")
    said = message.rpartition(": ")[2] if message.startswith("Error opening") else message.removeprefix("Error : ")
    return next((meant for begins, meant in UNREADABLE.items() if said.startswith(begins)), said)


def _cut_short(clip: Clip, what: str) -> DataError:
    return DataError(
        f"{clip.shown}: it is cut short: {what}. A whole file was expected. Copy it again, or take it out."
    )
