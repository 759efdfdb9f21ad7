"""torchaudio's data sets, read from folders laid out as torchaudio lays them out."""

import numpy as np
import pytest
import soundfile

from taskkit import Classes, DataError, SourceError
from taskkit_speech import sections
from taskkit_speech.clips import read_clip
from taskkit_speech.facts import Audio, Transcript
from taskkit_speech.torchaudio_data import TorchaudioData

SPLITS = ("train", "val", "test")


def record(path, rate=16000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(0).standard_normal(rate // 2) * 0.1, rate)


def prepared(dataset, root, target):
    return TorchaudioData(sections.TorchaudioData(dataset, root=str(root))).prepare(target)


def librispeech(root, speakers):
    """Two recordings of a speaker in each of three parts."""
    for part, speaker in zip(("train-clean-100", "dev-clean", "test-clean"), speakers, strict=True):
        chapter = root / "LibriSpeech" / part / str(speaker) / "198"
        for number in range(2):
            record(chapter / f"{speaker}-198-{number:04d}.flac")
        lines = (f"{speaker}-198-{number:04d} IT'S {part.upper()}\n" for number in range(2))
        (chapter / f"{speaker}-198.trans.txt").write_text("".join(lines))
    return prepared("LIBRISPEECH", root, Transcript)


def test_librispeech_is_read_in_its_official_parts(tmp_path):
    data = librispeech(tmp_path, (19, 84, 61))
    assert data.spec.input == Audio(16000)
    assert data.spec.protocol["splits"] == "the official parts: train-clean-100 / dev-clean / test-clean"
    assert [example.id for example in data.examples("val")] == ["84-198-0000", "84-198-0001"]
    assert data.examples("test")[0].target == "it's test clean"
    assert len(read_clip(data.examples("train")[1].input, 16000)) == 8000
    assert [origin.name for origin in data.spec.origins] == [
        "torchaudio-LIBRISPEECH-train-clean-100",
        "torchaudio-LIBRISPEECH-dev-clean",
        "torchaudio-LIBRISPEECH-test-clean",
    ]
    assert "speaker leak" not in {problem.kind for problem in data.inspect()}


def test_speakers_of_librispeech_are_known(tmp_path):
    leaks = [problem for problem in librispeech(tmp_path, (19, 84, 19)).inspect() if problem.kind == "speaker leak"]
    assert [leak.examples for leak in leaks] == [("test/19-198-0000", "test/19-198-0001")]


@pytest.fixture
def commands(tmp_path):
    folder = tmp_path / "SpeechCommands" / "speech_commands_v0.02"
    for word in ("yes", "no"):
        for speaker in ("a", "b", "c"):
            record(folder / word / f"{speaker}_nohash_0.wav")
    (folder / "validation_list.txt").write_text("yes/b_nohash_0.wav\nno/b_nohash_0.wav\n")
    (folder / "testing_list.txt").write_text("yes/c_nohash_0.wav\nno/c_nohash_0.wav\n")
    return tmp_path


def test_speech_commands_are_classes_in_their_official_splits(commands):
    data = prepared("SPEECHCOMMANDS", commands, Classes)
    assert data.spec.target == Classes(("no", "yes"), (1, 1))
    assert [example.id for example in data.examples("test")] == ["yes/c_nohash_0.wav", "no/c_nohash_0.wav"]
    assert [example.target for example in data.examples("test")] == [1, 0]


def test_speech_commands_are_transcripts_too(commands):
    data = prepared("SPEECHCOMMANDS", commands, Transcript)
    assert data.spec.target == Transcript("en")
    assert [example.target for example in data.examples("val")] == ["yes", "no"]


def test_yes_and_no_are_hebrew_words(tmp_path):
    for number in range(20):
        record(tmp_path / "waves_yesno" / f"{'_'.join(f'{number:05b}')}.wav", rate=8000)
    data = prepared("YESNO", tmp_path, Transcript)
    assert data.spec.input == Audio(8000)
    texts = {example.id: example.target for split in SPLITS for example in data.examples(split)}
    assert texts["0_0_1_0_1"] == "lo lo ken lo ken"
    assert len(texts) == 20


def test_a_folder_without_the_data_set_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(SourceError, match=r"data\.root"):
        prepared("LIBRISPEECH", tmp_path, Transcript)


def test_damaged_files_are_named(commands):
    (commands / "SpeechCommands/speech_commands_v0.02/testing_list.txt").unlink()
    with pytest.raises(DataError, match="torchaudio cannot read SPEECHCOMMANDS"):
        prepared("SPEECHCOMMANDS", commands, Classes)


def test_a_part_that_does_not_exist_or_is_tested_too_is_a_problem():
    section = sections.TorchaudioData("LIBRISPEECH", train=["train-clean", "dev-clean"])
    assert [field for field, _ in section.problems()] == ["train", "train", "val"]
