"""Every odd audio file is read rightly or refused with a word: what is in the file decides, not what it is called."""

import os
import resource
import struct

import numpy as np
import pytest
import soundfile

from taskkit import Classes, DataError
from taskkit_speech import sections
from taskkit_speech.audio import Clip
from taskkit_speech.clips import read_clip
from taskkit_speech.faults import fault
from taskkit_speech.probe import probe
from taskkit_speech.table import Table

RATE = 16000


def tone(rate=RATE, seconds=0.5, pitch=440.0, loudness=0.5):
    return loudness * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)


NOISE = np.random.default_rng(0).standard_normal(RATE // 2) * 0.1


def saved(samples=None, rate=RATE, **options):
    """Write samples, a tone by default, in the format of the name or in `format`."""
    samples = tone(rate) if samples is None else samples
    return lambda path: soundfile.write(os.fsencode(path), samples, rate, **options)


def content(*parts):
    """Write these bytes."""
    return lambda path: path.write_bytes(b"".join(parts))


def changed(change, samples=None, rate=RATE, **options):
    """Write samples and change the bytes of their file."""

    def write(path):
        saved(samples, rate, **options)(path)
        path.write_bytes(change(path.read_bytes()))

    return write


def cut(share, samples=NOISE, **options):
    """Write samples and cut their file off after a share of it."""
    return changed(lambda whole: whole[: int(len(whole) * share)], samples, **options)


def wav(data=b"", *, kind=1, channels=1, rate=RATE, bits=16, stated=None, before=b""):
    """A WAV file by hand, whose header may state another length than there is."""
    width = channels * bits // 8
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * width & 0xFFFFFFFF, width & 0xFFFF, bits)
    body = b"WAVE" + before + b"fmt " + struct.pack("<I", 16) + form
    body += b"data" + struct.pack("<I", len(data) if stated is None else stated) + data
    return content(b"RIFF", struct.pack("<I", len(body)), body)


def put(offset, form, *values):
    """Change bytes of a file at a place."""
    return lambda whole: whole[:offset] + struct.pack(form, *values) + whole[offset + struct.calcsize(form) :]


def flac_length(samples):
    """The number of samples in the header of a FLAC file."""

    def change(whole):
        return (
            whole[:21]
            + bytes([whole[21] & 0xF0 | samples >> 32])
            + struct.pack(">I", samples & 0xFFFFFFFF)
            + whole[26:]
        )

    return change


PCM = (tone() * 32767).astype("<i2").tobytes()
BOTH = np.stack([tone(), tone()], axis=1)

EXACT, DEEP, COARSE, LOSSY = 1, 2, 300, 2000
"""By how much a sample may differ, of 32 768."""
READ = {
    **{
        f"WAV of {kind}": ("a.wav", saved(subtype=kind), close)
        for kind, close in [
            ("PCM_16", EXACT),
            ("PCM_24", EXACT),
            ("PCM_32", EXACT),
            ("PCM_U8", COARSE),
            ("FLOAT", EXACT),
            ("DOUBLE", EXACT),
            ("ULAW", 1000),
            ("ALAW", 1000),
            ("IMA_ADPCM", LOSSY),
            ("MS_ADPCM", LOSSY),
            ("GSM610", 6000),
        ]
    },
    **{f"{kind} file": (f"a.{kind}", saved(), EXACT) for kind in ("flac", "aiff", "au", "caf", "w64", "rf64")},
    **{f"{kind} file": (f"a.{kind}", saved(), LOSSY) for kind in ("mp3", "ogg")},
    "Opus": ("a.opus", saved(format="OGG", subtype="OPUS"), LOSSY),
    "NIST Sphere": ("a.sph", saved(format="NIST"), EXACT),
    "an extensible WAV": ("a.wav", saved(format="WAVEX"), EXACT),
    "FLAC of 8 bits": ("a.flac", saved(subtype="PCM_S8"), COARSE),
    "FLAC of 24 bits": ("a.flac", saved(subtype="PCM_24"), EXACT),
    "AIFF of µ-law": ("a.aiff", saved(subtype="ULAW"), 1000),
    "AU of A-law": ("a.au", saved(subtype="ALAW"), 1000),
    "big-endian WAV": ("a.wav", saved(endian="BIG"), EXACT),
    "stereo": ("a.wav", saved(BOTH), EXACT),
    "stereo FLAC": ("a.flac", saved(BOTH), EXACT),
    "stereo whose channels differ": (
        "a.wav",
        saved(np.stack([2 * tone(), np.zeros(RATE // 2)], 1), subtype="FLOAT"),
        EXACT,
    ),
    "8 channels": ("a.flac", saved(np.stack([tone()] * 8, axis=1)), EXACT),
    "100 channels": ("a.wav", saved(np.stack([tone()] * 100, axis=1)), EXACT),
    **{
        f"{rate} Hz": ("a.wav", saved(rate=rate), 400)
        for rate in (8000, 11025, 22050, 32000, 44100, 48000, 96000, 192000, 384000)
    },
    "4000 Hz": ("a.wav", saved(rate=4000), 1200),
    "22051 Hz, which has no ratio to speak of": ("a.wav", saved(rate=22051), 400),
    "47999 Hz": ("a.wav", saved(rate=47999), 400),
    "383999 Hz": ("a.wav", saved(rate=383999), 400),
    "another kind by name": ("a.mp3", saved(format="WAV"), EXACT),
    "FLAC called WAV": ("a.wav", saved(format="FLAC"), EXACT),
    "WAV called AU": ("a.au", saved(format="WAV"), EXACT),
    "WAV called RAW": ("a.raw", saved(format="WAV"), EXACT),
    "no ending": ("a", saved(format="WAV"), EXACT),
    "an ending in capitals": ("A.WAV", saved(), EXACT),
    "a header that states all there can be": ("a.wav", wav(PCM, stated=0xFFFFFFFF), EXACT),
    "a header that states 2 GB": ("a.wav", wav(PCM, stated=0x7FFFFFFF), EXACT),
    "notes before the sound": ("a.wav", wav(PCM, before=b"LIST" + struct.pack("<I", 8) + b"INFOabcd"), EXACT),
    "notes behind the sound": ("a.wav", changed(lambda whole: whole + b"LIST" + struct.pack("<I", 4) + b"INFO"), EXACT),
    "zeros behind the sound": ("a.wav", changed(lambda whole: whole + bytes(1000)), EXACT),
    "an MP3 with notes before it": (
        "a.mp3",
        changed(lambda whole: b"ID3\x04\0\0\0\0\x01\0" + bytes(128) + whole),
        LOSSY,
    ),
    "a name that is not UTF-8": (os.fsdecode(b"caf\xe9.wav"), saved(format="WAV"), EXACT),
    "a name with controls in it": ("\x1b[31m\n.wav", saved(), EXACT),
    "a link": ("a.wav", lambda path: (saved()(path.with_name("b.wav")), path.symlink_to("b.wav")), EXACT),
}

NO_AUDIO, SHORT = r"this is not audio that can be read \(", "it is cut short: "
REFUSED = {
    "an empty file": ("a.wav", content(), NO_AUDIO),
    **{
        f"a text called .{kind}": (f"a.{kind}", content(b"no sound\n" * 99), NO_AUDIO)
        for kind in (
            "wav",
            "flac",
            "mp3",
            "ogg",
            "aiff",
            "au",
            "snd",
            "vox",
            "gsm",
            "raw",
            "sph",
            "txt",
        )
    },
    "an error page": ("a.mp3", content(b"<!DOCTYPE html><title>404</title>"), NO_AUDIO),
    "nothing but zeros": ("a.wav", content(bytes(5000)), NO_AUDIO),
    "M4A": ("a.m4a", content(b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(500)), NO_AUDIO),
    "a picture": ("a.wav", content(b"\x89PNG\r\n\x1a\n" + bytes(100)), NO_AUDIO),
    "the first bytes of a WAV": ("a.wav", cut(0.001), NO_AUDIO),
    "a WAV that is all header": ("a.wav", changed(lambda whole: whole[:44]), "hold|short|read"),
    "half of a WAV": ("a.wav", cut(0.5), SHORT),
    "a WAV that lacks its last second": ("a.wav", cut(0.9), SHORT),
    "half of a WAV of floating-point numbers": ("a.wav", cut(0.5, subtype="FLOAT"), SHORT),
    "half of an AIFF": ("a.aiff", cut(0.5), SHORT),
    "half of an AU": ("a.au", cut(0.5), SHORT),
    "half of a FLAC": ("a.flac", cut(0.5), NO_AUDIO + "it is cut short or damaged"),
    "half of an MP3": ("a.mp3", cut(0.5), SHORT),
    **{f"an Ogg cut at {share}": ("a.ogg", cut(share), SHORT + "it ends within a page") for share in (0.1, 0.5, 0.99)},
    "an Opus that lacks its end": ("a.ogg", cut(0.9, subtype="OPUS"), SHORT + "it ends within a page"),
    "the first bytes of an MP3": ("a.mp3", cut(0.05), r"\(it is cut short or damaged: nothing of it can be decoded"),
    "a damaged FLAC": ("a.flac", changed(lambda whole: whole[:2000] + bytes(4000) + whole[6000:], NOISE), NO_AUDIO),
    "a FLAC whose header states more than there is": ("a.flac", changed(flac_length(20000)), "short|read"),
    "a FLAC whose header states hundreds of hours": (
        "a.flac",
        changed(flac_length(2**36 - 1)),
        "it lasts 4,294,967.3 s",
    ),
    "a FLAC whose header does not say how long it is": (
        "a.flac",
        changed(flac_length(0)),
        "header does not say how long",
    ),
    "a WAV of 100 hours by its header and rate": (
        "a.wav",
        wav(bytes(8 * 10**7), rate=4000, bits=8, kind=1),
        "it lasts 20,000 s",
    ),
    "no samples": ("a.wav", saved(np.zeros(0)), "it holds no sound"),
    "no samples in a FLAC": ("a.flac", saved(np.zeros(0)), "hold|read|say"),
    "a rate of 1 Hz": ("a.wav", saved(tone(), rate=1), "its header states 1 Hz"),
    "a rate of 3999 Hz": ("a.wav", saved(rate=3999), "its header states 3,999 Hz"),
    "a rate of 2 GHz": ("a.wav", saved(tone(), rate=2_000_000_000), "its header states 2,000,000,000 Hz"),
    "a rate of 0 Hz": ("a.wav", wav(PCM, rate=0), "read|Hz"),
    "no channel": ("a.wav", wav(PCM, channels=0), NO_AUDIO),
    "65535 channels": ("a.wav", wav(PCM, channels=65535), NO_AUDIO),
    "a WAV of a kind that there is not": ("a.wav", wav(PCM, kind=0x7777), NO_AUDIO),
    "a WAV of 0 bits": ("a.wav", wav(PCM, bits=0), NO_AUDIO),
    "samples that are not a number": (
        "a.wav",
        saved(np.where(np.arange(8000) == 7999, np.nan, tone()), subtype="FLOAT"),
        "not a number",
    ),
    "samples without end": (
        "a.wav",
        saved(np.where(np.arange(8000) == 0, np.inf, tone()), subtype="DOUBLE"),
        "not a number",
    ),
    "samples that cancel without end": (
        "a.wav",
        saved(np.stack([np.full(99, np.inf), np.full(99, -np.inf)], 1), subtype="FLOAT"),
        "not a number",
    ),
    "a folder": ("a.wav", lambda path: path.mkdir(), "this is no regular file"),
    "a FIFO": ("a.wav", os.mkfifo, "this is no regular file"),
    "a device": ("a.wav", lambda path: path.symlink_to("/dev/zero"), "this is no regular file"),
    "a link that leads nowhere": ("a.wav", lambda path: path.symlink_to("none.wav"), "this is no regular file"),
    "a link to itself": ("a.wav", lambda path: path.symlink_to("a.wav"), "this is no regular file"),
    "nothing": ("a.wav", lambda path: None, "there is no such file"),
    "a name with a NUL in it": ("a\0.wav", lambda path: None, "there is no such file"),
    "a name that is too long": ("a" * 300 + ".wav", lambda path: None, "there is no such file"),
}

UNUSABLE = {
    "silence": (saved(np.zeros(8000)), "silent"),
    "one sample": (saved(np.full(1, 0.5)), "silent"),
    "a constant": (saved(np.full(8000, 0.5)), "silent"),
    "a constant with a whisper": (saved(0.5 + 0.0005 * tone(loudness=1)), "silent"),
    "silence of two channels that cancel": (saved(np.stack([tone(), -tone()], 1)), "silent"),
    "not a number": (saved(np.full(8000, np.nan), subtype="FLOAT"), "not a number"),
    "a rate of 1 Hz": (saved(tone(), rate=1), "sample rate"),
    "no file": (lambda path: None, "missing"),
    "a text": (content(b"no"), "unreadable"),
    "ten seconds": (saved(tone(seconds=10)), "too long"),
    "a tone on a constant": (saved(0.4 + tone(loudness=0.3)), None),
    "a tone": (saved(), None),
}


@pytest.mark.parametrize("kind", READ)
def test_a_file_that_can_be_right_is_read_rightly(tmp_path, kind):
    name, write, close = READ[kind]
    write(tmp_path / name)
    samples = read_clip(tmp_path / name, RATE).numpy().astype(int)
    expected = np.rint(tone() * 32768)
    assert 0 <= len(samples) - len(expected) <= 320  # some formats hold whole blocks only
    # Lossy and resampled sound rings at both ends.
    inner = slice(1000, -1000)
    assert np.abs(samples[: len(expected)] - expected)[inner].max() <= close


@pytest.mark.parametrize("kind", REFUSED)
def test_a_file_that_cannot_be_right_is_refused_with_its_name_and_a_reason(tmp_path, kind):
    name, write, reason = REFUSED[kind]
    write(tmp_path / name)
    with pytest.raises(DataError, match=rf"(?s){name[:20]}.*{reason}.* (expected|Correct|Record)"):
        read_clip(tmp_path / name, RATE)


@pytest.mark.parametrize("kind", UNUSABLE)
def test_what_nothing_can_be_learnt_from_is_told_by_its_kind(tmp_path, kind):
    write, expected = UNUSABLE[kind]
    clip = Clip(tmp_path / "a.wav", max_seconds=9)
    write(clip.path)
    found = fault(clip, probe([clip])[clip], 0)
    assert (found and found.kind) == expected


def test_there_are_many_kinds_of_odd_files():
    assert len(READ) + len(REFUSED) + len(UNUSABLE) >= 80


def test_of_a_clip_that_is_too_long_nothing_is_decoded_until_it_may_be(tmp_path):
    path = tmp_path / "a.wav"
    saved(tone(seconds=10))(path)
    short, long = Clip(path, max_seconds=9), Clip(path, max_seconds=11)
    assert probe([short], remember="here")[short].digest == ""
    assert probe([long], remember="here")[long].digest
    with pytest.raises(DataError, match=r"it lasts 10 s by its header. At most 9 s were expected, max_seconds"):
        read_clip(short, RATE)
    assert len(read_clip(Clip(path, 1, 9.5, max_seconds=9), RATE)) == 8.5 * RATE


@pytest.mark.parametrize("name", ["a\0.wav", "a" * 300, "~nobody-of-this-name/a.wav"])
def test_a_path_that_cannot_be_is_missing_and_no_surprise(tmp_path, name):
    (tmp_path / "table.csv").write_text(f"path,label\n{name},x\n")
    with pytest.raises(DataError, match=r"(?s)1 of 1 recordings cannot be used \(1 missing\).*there is no such file"):
        Table(sections.Table(table=str(tmp_path / "table.csv"))).prepare(Classes)


def test_an_odd_rate_takes_no_more_memory_than_an_even_one(tmp_path):
    path = tmp_path / "a.wav"
    saved(tone(22051, seconds=20), rate=22051)(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert len(read_clip(path, 8000)) == 160_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB; it took 8.6 GB
