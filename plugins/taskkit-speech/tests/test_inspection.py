import gzip
import shutil

import numpy as np
import pytest
import soundfile

from taskkit import Classes
from taskkit_speech import sections
from taskkit_speech.facts import Transcript
from taskkit_speech.prompts import Prompts
from taskkit_speech.table import Table

SENTENCE = "a sentence of many words"


@pytest.fixture
def inspected(recordings):
    """The problems, by kind, of the recordings of two seconds that are listed."""

    def inspect(rows, header="path,text,split", target=Transcript):
        path = recordings() / "table.csv"
        path.write_text("\n".join([header, *rows]))
        module = Table(sections.Table(str(path), val_share=0, test_share=0))
        return {problem.kind: problem for problem in module.prepare(target).inspect() if problem.severity != "info"}

    return inspect


def rows(names, split="train"):
    return [f"{name},{SENTENCE} {chr(97 + number)},{split}" for number, name in enumerate(names)]


@pytest.fixture
def good(recordings):
    names = [f"{number}.wav" for number in range(5)]
    recordings(*names, seconds=2)
    return [*rows(names[:4]), f"{names[4]},{SENTENCE},test"]


def test_good_recordings_have_no_problems(inspected, good):
    assert inspected(good) == {}


def test_stereo_is_told(inspected, good, recordings):
    recordings("stereo.wav", seconds=2, channels=2)
    found = inspected([*good, f"stereo.wav,{SENTENCE} z,train"])
    assert found.keys() == {"channels"}
    assert found["channels"].message.startswith("1 of 6 recordings have more than one channel")
    assert found["channels"].examples == ("train/stereo.wav",)


def test_a_rate_unlike_the_others_is_told(inspected, good, recordings):
    recordings("phone.wav", seconds=2, rate=8000)
    found = inspected([*good, f"phone.wav,{SENTENCE} z,train"])
    assert "5 at 16,000 Hz, 1 at 8,000 Hz" in found["sample rate"].message


def test_a_clipped_recording_is_told(inspected, good, recordings):
    recordings("loud.wav", seconds=2, loudness=1)
    assert inspected([*good, f"loud.wav,{SENTENCE} z,train"])["clipped"].examples == ("train/loud.wav",)


def test_a_wrong_rate_in_a_header_shows_in_the_speed_of_speech(inspected, good, recordings):
    root = recordings("wrong.wav", seconds=2)
    samples, _ = soundfile.read(root / "wrong.wav")
    soundfile.write(root / "wrong.wav", samples, 48000)
    found = inspected([*good, f"wrong.wav,{SENTENCE} z,train"])
    assert found["speed"].severity == "warning"
    assert found["speed"].examples == ("train/wrong.wav",)
    assert "usual here (13.0 characters a second), such as wrong.wav with 39.0" in found["speed"].message


def test_wrong_rates_in_all_headers_are_an_error(inspected, recordings):
    recordings(*(f"{number}.wav" for number in range(5)), seconds=0.8)
    found = inspected(rows(f"{number}.wav" for number in range(5)))
    assert found["speed"].severity == "error"
    assert "people speak 3 to 25" in found["speed"].message


def test_a_recording_far_longer_than_the_others_is_told(inspected, recordings):
    names = [f"{number}.wav" for number in range(25)]
    recordings(*names, seconds=0.2)
    recordings("long.wav", seconds=3)
    found = inspected([*(f"{name},hm,train" for name in [*names, "long.wav"])])
    assert found["duration"].examples == ("train/long.wav",)
    assert "last up to 3.0 s; 19 of 20 last at most 0.2 s" in found["duration"].message


def test_the_same_sound_twice_is_a_duplicate_or_a_leak(inspected, good, recordings):
    root = recordings()
    shutil.copy(root / "0.wav", root / "copy.wav")
    samples, rate = soundfile.read(root / "1.wav", dtype="int16")
    soundfile.write(root / "leak.flac", samples, rate)
    found = inspected([*good, f"copy.wav,{SENTENCE} a,train", f"leak.flac,{SENTENCE} z,test"])
    assert found["duplicate"].examples == ("train/0.wav", "train/copy.wav")
    assert found["leak"].severity == "error"
    assert found["leak"].examples == ("train/1.wav", "test/leak.flac")
    assert found["label"].examples == ("train/1.wav", "test/leak.flac")


def test_sentences_of_the_training_split_that_are_tested_are_counted(inspected, good, recordings):
    recordings("again.wav", seconds=2)
    found = inspected([*good, f"again.wav,{SENTENCE} A!,test"])
    assert found["sentence leak"].message.startswith("1 of 2 recordings of the test split (50%) have a transcript")
    assert found["sentence leak"].examples == ("test/again.wav",)


def test_speakers_of_the_training_split_that_are_tested_are_counted(inspected, good):
    speakers = ["ann", "ben", "ann", "ben", "ann"]
    listed = [f"{row},{speaker}" for row, speaker in zip(good, speakers, strict=True)]
    found = inspected(listed, header="path,text,split,speaker")
    assert "1 of 1 recordings of the test split are of 1 speaker of the training split" in found["speaker leak"].message


def test_characters_that_are_only_tested_are_named(inspected, good, recordings):
    recordings("new.wav", seconds=2)
    found = inspected([*good, "new.wav,a sentence of çhäräcters,test"])
    assert found["alphabet"].examples == ("test/new.wav",)
    assert "ä ç" in found["alphabet"].message


def test_classes_are_looked_at_for_skew(inspected, recordings):
    names = [f"{number:02d}.wav" for number in range(24)]
    recordings(*names, seconds=0.1)
    listed = [f"{name},{'rare' if name == '00.wav' else 'usual'},train" for name in names]
    found = inspected(listed, header="path,label,split", target=Classes)
    assert "'usual' has 23 training recordings, 'rare' has 1" in found["skew"].message


def test_silence_in_named_data_is_an_error(tmp_path):
    soundfile.write(tmp_path / "hello.wav", np.zeros(8000), 8000)
    (tmp_path / "core-sounds-en.txt.gz").write_bytes(gzip.compress(b"hello: Hello", mtime=0))
    module = Prompts(sections.Prompts(root=str(tmp_path)))
    assert {problem.kind: problem.severity for problem in module.prepare(Transcript).inspect()}["silent"] == "error"


def test_ten_seconds_are_not_no_hours(good, recordings):
    path = recordings() / "table.csv"
    path.write_text("\n".join(["path,text,split", *good]))
    found = Table(sections.Table(str(path), val_share=0, test_share=0)).prepare(Transcript).inspect()
    (said,) = [problem.message for problem in found if problem.kind == "durations"]
    assert said.startswith("5 recordings can be read, 10.0 s in all: 2.0 to 2.0 s")
