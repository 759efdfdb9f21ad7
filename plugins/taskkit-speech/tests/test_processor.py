import numpy as np
import pytest
import soundfile
import torch

from taskkit import Classes, DataError, DataSpec, Example, TaskkitError
from taskkit_speech import sections
from taskkit_speech.audio import Clip
from taskkit_speech.facts import Audio, Masked, Transcript
from taskkit_speech.wav2vec2 import Wav2vec2

TINY = {"conv_widths": [4], "conv_kernels": [160], "layers": 1, "width": 8, "heads": 2}


@pytest.fixture
def clip(tmp_path):
    """A clip of noise of so many seconds, at 8 kHz."""

    def write(seconds, rate=8000):
        path = tmp_path / f"{seconds}-{rate}.wav"
        noise = np.random.default_rng(0).normal(0, 0.1, round(seconds * rate))
        soundfile.write(path, noise, rate)
        return Clip(path)

    return write


def fitted(target, examples, rate=8000, **settings):
    settings = {**TINY, "conv_strides": [80], **settings}
    processor = Wav2vec2(sections.Wav2vec2(**settings)).processor(DataSpec(Audio(rate), target, "f"))
    processor.fit(examples)
    return processor


def test_a_transcript_becomes_the_numbers_of_its_characters_and_its_text(clip):
    processor = fitted(Transcript(), [Example("a", None, "ab c")])
    (sample,) = processor.encode(Example("b", clip(0.5), "a xb"))
    assert sample["audio"].dtype == torch.int16
    assert len(sample["audio"]) == 4000
    assert sample["target"].tolist() == [2, 1, 3]
    assert "".join(map(chr, sample["target_text"].tolist())) == "a xb"
    assert sample["flag_unknown_characters"] == 1
    assert sample["flag_too_long_target"] == 0


def test_a_transcript_that_has_more_characters_than_frames_is_flagged(clip):
    processor = fitted(Transcript(), [Example("a", None, "ab")])
    frames = processor.grid.frames(4000)
    flags = [
        processor.encode(Example("b", clip(0.5), text))[0]["flag_too_long_target"].item()
        for text in ("ab" * (frames // 2), "a" * frames)
    ]
    assert flags == [0, 1]


def test_audio_is_resampled_to_the_rate_of_the_network(clip):
    processor = fitted(Classes(("a", "b")), [], rate=None)
    assert processor.front_end.sample_rate == 16000
    (sample,) = processor.encode(Example("a", clip(0.5, rate=8000), 1))
    assert len(sample["audio"]) == 8000
    assert sample["target"] == 1


def test_batches_are_padded_to_few_lengths_and_counted_in_seconds(clip):
    processor = fitted(Transcript(), [Example("a", None, "ab")], pad_to=0.25)
    samples = [processor.encode(Example("a", clip(s), text))[0] for s, text in ((0.3, "ab"), (0.6, "b"))]
    batch = processor.collate(samples)
    assert batch["audio"].shape == (2, 6000)
    assert batch["audio_length"].tolist() == [2400, 4800]
    assert batch["target"].tolist() == [[1, 2], [2, 0]]
    assert not batch["audio"][0, 2400:].any()
    assert processor.padded_size(batch) / processor.unit.scale == 1.5
    assert processor.unit.name == "audio seconds"
    assert [processor.length(sample) for sample in samples] == [2400, 4800]


def test_a_long_recording_without_a_transcript_becomes_windows_and_with_one_does_not(clip):
    processor = fitted(Transcript(), [Example("a", None, "ab")], window=1.0, overlap=0.2)
    windows = processor.encode(Example("a", clip(2.5)))
    assert len(windows) == 3
    assert sum(last - first for first, last, _ in (window["target_frames"].tolist() for window in windows)) == (
        processor.grid.frames(20000)
    )
    assert len(processor.encode(Example("a", clip(2.5), "ab"))) == 1


def test_long_recordings_to_learn_from_sound_alone_are_cut_into_even_parts(clip):
    processor = fitted(Masked(), [], window=1.0, overlap=0.2)
    parts = processor.encode(Example("a", clip(2.5), "its transcript is not looked at"))
    assert [set(part) for part in parts] == [{"audio"}] * 3
    assert sum(len(part["audio"]) for part in parts) == 20000
    assert max(len(part["audio"]) for part in parts) <= 8000


def test_a_clip_shorter_than_a_frame_is_padded_to_one():
    processor = fitted(Transcript(), [Example("a", None, "ab")], pad_to=0.01)
    batch = processor.collate([{"audio": torch.ones(3, dtype=torch.int16)}])
    assert processor.grid.frames(batch["audio"].shape[1]) == 1
    assert batch["audio_length"].tolist() == [3]


def test_frames_longer_than_a_window_are_refused():
    with pytest.raises(TaskkitError, match=r"model\.conv_strides: with \[8000\] .*every 1 s; model.window is 0\.5"):
        fitted(Classes(("a", "b")), [], conv_strides=[8000], window=0.5, overlap=0.1)
    fitted(Classes(("a", "b")), [], conv_strides=[8000])


def test_windows_must_share_a_frame(clip):
    examples, settings = [Example("a", None, "ab")], {"window": 1.0, "overlap": 0.039}
    with pytest.raises(TaskkitError, match=r"model\.overlap: 0\.039 s is too short.* 0\.04 s or more"):
        fitted(Transcript(), examples, **settings)
    fitted(Masked(), [], **settings)
    processor = fitted(Transcript(), examples, window=1.0, overlap=0.04)
    for seconds in (1.01, 2.5, 3.333):
        windows = [window["target_frames"].tolist() for window in processor.encode(Example("a", clip(seconds)))]
        assert sum(last - first for first, last, _ in windows) == processor.grid.frames(round(seconds * 8000))


def test_what_it_learnt_survives_saving(clip):
    first = fitted(Transcript(), [Example("a", None, "ab c")])
    model = Wav2vec2(sections.Wav2vec2(**TINY, conv_strides=[80]))
    second = model.processor(DataSpec(Audio(8000), Transcript(), "f"))
    second.load_state_dict(first.state_dict())
    assert second.state_dict() == first.state_dict()
    example = Example("b", clip(0.5), "ab")
    one, other = first.encode(example)[0], second.encode(example)[0]
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert second.unit == first.unit


def test_a_file_a_folder_and_a_table_are_read(clip):
    processor = fitted(Transcript(), [Example("a", None, "ab")])
    path = clip(0.5).path
    (path.parent / "t.csv").write_text(f"file\n{path.name}\n")
    (path.parent / "u.csv").write_text(f"path\n{path.name}\n")
    for source, options in ((path, {}), (path.parent, {}), ("t.csv", {"column": "file"}), ("u.csv", {})):
        examples = processor.read(str(path.parent / source), sections.ReadAudio(**options))
        assert [example.input.path for example in examples] == [path]
    with pytest.raises(DataError, match=r"none\.wav"):
        processor.read("none.wav", sections.ReadAudio())


def test_its_settings_are_those_that_change_its_samples(clip):
    example = Example("b", clip(2.5))
    for target, fitting in ((Transcript(), [Example("a", None, "ab")]), (Masked(), []), (Classes(("a", "b")), [])):
        usual = fitted(target, fitting, window=1.0, overlap=0.2)
        for change in ({"window": 1.5}, {"overlap": 0.4}, {"pad_to": 1.0}, {"mask_time": 0.2}):
            other = fitted(target, fitting, **{"window": 1.0, "overlap": 0.2, **change})
            one, two = ([sample["audio"].tolist() for sample in p.encode(example)] for p in (usual, other))
            assert (usual.settings() == other.settings()) == (one == two), (target, change)
