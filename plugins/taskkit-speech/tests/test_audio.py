import numpy as np
import pytest
import soundfile
import torch

from taskkit import DataError
from taskkit_speech.audio import Clip
from taskkit_speech.clips import read_clip


def tone(seconds, rate, pitch=440.0):
    return 0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)


@pytest.fixture
def written(tmp_path):
    """Write samples to a file of this name."""

    def write(name, samples, rate=16000, **options):
        soundfile.write(tmp_path / name, samples, rate, **options)
        return tmp_path / name

    return write


def pitch(samples, rate):
    spectrum = np.abs(np.fft.rfft(samples.numpy().astype(float)))
    return spectrum.argmax() * rate / len(samples)


def test_sixteen_bits_arrive_as_they_were_recorded(written):
    recorded = np.random.default_rng(0).integers(-32768, 32768, 8000, dtype=np.int16)
    samples = read_clip(written("noise.wav", recorded), 16000)
    assert samples.dtype == torch.int16
    assert torch.equal(samples, torch.from_numpy(recorded))


@pytest.mark.parametrize("name", ["tone.wav", "tone.flac", "tone.mp3", "tone.ogg", "tone.aiff"])
def test_every_common_kind_of_file_is_read(written, name):
    samples = read_clip(written(name, tone(1.0, 16000)), 16000)
    assert len(samples) == 16000
    assert pitch(samples, 16000) == pytest.approx(440, abs=2)
    assert samples.abs().max() == pytest.approx(16384, rel=0.05)


@pytest.mark.parametrize(("rate", "wanted"), [(8000, 16000), (44100, 16000), (16000, 8000), (22050, 8000)])
def test_another_rate_keeps_the_pitch_and_the_duration(written, rate, wanted):
    samples = read_clip(written("tone.wav", tone(1.0, rate), rate), wanted)
    assert len(samples) == wanted
    assert pitch(samples, wanted) == pytest.approx(440, abs=2)


def test_what_a_lower_rate_cannot_hold_is_filtered_out_rather_than_folded_back(written):
    samples = read_clip(written("high.wav", tone(1.0, 16000, pitch=6000)), 8000)
    assert samples[500:-500].abs().max() < 200


def test_stereo_is_mixed_down(written):
    both = np.stack([tone(1.0, 16000), np.zeros(16000)], axis=1)
    assert read_clip(written("stereo.wav", both), 16000).abs().max() == pytest.approx(8192, rel=0.01)


@pytest.mark.parametrize(
    ("subtype", "tolerance"), [("FLOAT", 1), ("PCM_24", 1), ("PCM_32", 1), ("PCM_U8", 256), ("ULAW", 1000)]
)
def test_other_depths_become_sixteen_bits(written, subtype, tolerance):
    samples = read_clip(written("tone.wav", tone(0.5, 16000), subtype=subtype), 16000)
    assert (samples - torch.from_numpy(tone(0.5, 16000) * 32768).round()).abs().max() <= tolerance


def test_what_is_too_loud_for_sixteen_bits_is_cut_off_and_does_not_wrap_around(written):
    samples = read_clip(written("loud.wav", 3 * tone(0.5, 16000), subtype="FLOAT"), 16000)
    assert samples.max() == 32767
    assert samples.min() == -32768
    assert (samples.diff().abs().max()) < 10000


def test_a_span_is_cut_out(written):
    recorded = np.arange(16000, dtype=np.int16)
    path = written("ramp.wav", recorded)
    assert torch.equal(read_clip(Clip(path, 0.25, 0.5), 16000), torch.from_numpy(recorded[4000:8000]))
    assert torch.equal(read_clip(Clip(path, start=0.75), 16000), torch.from_numpy(recorded[12000:]))
    assert torch.equal(read_clip(Clip(path, end=0.1), 16000), torch.from_numpy(recorded[:1600]))


def test_a_span_may_end_a_little_behind_its_file_for_people_round(written):
    assert len(read_clip(Clip(written("tone.wav", tone(1.0, 16000)), 0.5, 1.04), 16000)) == 8000


@pytest.mark.parametrize(("start", "end"), [(0.5, 1.1), (1.0, None), (0.5, 0.5), (0.6, 0.5), (-0.1, 0.5)])
def test_a_span_outside_of_its_file_is_refused(written, start, end):
    with pytest.raises(DataError, match=r"tone\.wav \(.* s to .*\): there is no such span in a file of 1\.00 s"):
        read_clip(Clip(written("tone.wav", tone(1.0, 16000)), start, end), 16000)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.wav: there is no such file"):
        read_clip(tmp_path / "none.wav", 16000)


@pytest.mark.parametrize("content", [b"", b"no audio at all" * 100])
def test_a_file_that_is_no_audio_is_said_so(tmp_path, content):
    (tmp_path / "text.wav").write_bytes(content)
    with pytest.raises(DataError, match=r"text\.wav: this is not audio that can be read \(Format not recognised\)"):
        read_clip(tmp_path / "text.wav", 16000)


@pytest.mark.parametrize(
    ("start", "name"), [(b"\0\0\0\x1cftypM4A ", "MPEG-4, such as .m4a: convert it"), (b"#!AMR\n", "AMR: convert it")]
)
def test_what_telephones_write_is_named(tmp_path, start, name):
    (tmp_path / "call.m4a").write_bytes(start + bytes(100))
    with pytest.raises(DataError, match=rf"call\.m4a: this is not audio that can be read \(it is {name}"):
        read_clip(tmp_path / "call.m4a", 16000)


@pytest.mark.parametrize("name", ["half.wav", "half.aiff", "half.au", "half.mp3"])
def test_a_file_that_is_cut_short_is_not_taken_for_whole(written, name):
    path = written(name, tone(3.0, 16000))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="it is cut short"):
        read_clip(path, 16000)


def test_a_damaged_flac_file_is_refused(written):
    path = written("half.flac", np.random.default_rng(0).standard_normal(48000) * 0.1)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"half\.flac: this is not audio that can be read"):
        read_clip(path, 16000)


def test_a_stream_whose_header_could_not_know_its_length_is_whole(written):
    path = written("stream.wav", tone(1.0, 16000))
    content = bytearray(path.read_bytes())
    content[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert len(read_clip(path, 16000)) == 16000


@pytest.mark.parametrize("rate", [1, 400_000])
def test_a_rate_that_cannot_be_is_refused_before_it_is_resampled(written, rate):
    with pytest.raises(DataError, match=rf"tone\.wav: its header states {rate:,} Hz. 4,000 to 384,000 Hz"):
        read_clip(written("tone.wav", tone(0.1, 8000), rate), 16000)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_a_number_are_refused(written, value):
    samples = tone(0.1, 8000)
    samples[100] = value
    with pytest.raises(DataError, match=r"tone\.wav: some of its samples are not a number"):
        read_clip(written("tone.wav", samples, 8000, subtype="FLOAT"), 16000)


def test_a_file_without_sound_is_refused(written):
    with pytest.raises(DataError, match="it holds no sound"):
        read_clip(written("nothing.wav", np.zeros(0)), 16000)
