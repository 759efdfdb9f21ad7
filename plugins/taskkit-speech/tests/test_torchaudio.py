"""torchaudio's data sets, read from folders laid out as torchaudio lays them out."""

import numpy as np
import pytest
import soundfile

from taskkit import Classes, DataError, SourceError
from taskkit_speech import sections
from taskkit_speech.audio import read_clip
from taskkit_speech.facts import Audio, Transcript
from taskkit_speech.torchaudio_data import TorchaudioData

SPLITS = ("train", "val", "test")


def record(path, rate=16000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(0).standard_normal(rate // 2) * 0.1, rate)


def prepared(dataset, root, target):
    module = TorchaudioData(sections.TorchaudioData(dataset, root=str(root)))
    return module, module.prepare(target)


def test_librispeech_is_read_in_its_official_parts(tmp_path):
    for part, speaker in (("train-clean-100", 19), ("dev-clean", 84), ("test-clean", 61)):
        chapter = tmp_path / "LibriSpeech" / part / str(speaker) / "198"
        for number in range(2):
            record(chapter / f"{speaker}-198-{number:04d}.flac")
        lines = (f"{speaker}-198-{number:04d} IT'S {part.upper()}\n" for number in range(2))
        (chapter / f"{speaker}-198.trans.txt").write_text("".join(lines))
    module, spec = prepared("LIBRISPEECH", tmp_path, Transcript)
    assert spec.input == Audio(16000)
    assert spec.protocol["splits"] == "the official parts: train-clean-100 / dev-clean / test-clean"
    assert [example.id for example in module.examples("val")] == ["84-198-0000", "84-198-0001"]
    assert module.examples("test")[0].target == "it's test clean"
    assert len(read_clip(module.examples("train")[1].input, 16000)) == 8000
    assert module.splits["train"][0].speaker == "19"


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
    module, spec = prepared("SPEECHCOMMANDS", commands, Classes)
    assert spec.target == Classes(("no", "yes"), (1, 1))
    assert [example.id for example in module.examples("test")] == ["yes/c_nohash_0.wav", "no/c_nohash_0.wav"]
    assert [example.target for example in module.examples("test")] == [1, 0]


def test_speech_commands_are_transcripts_too(commands):
    module, spec = prepared("SPEECHCOMMANDS", commands, Transcript)
    assert spec.target == Transcript("en")
    assert [example.target for example in module.examples("val")] == ["yes", "no"]


def test_yes_and_no_are_hebrew_words(tmp_path):
    for number in range(20):
        record(tmp_path / "waves_yesno" / f"{'_'.join(f'{number:05b}')}.wav", rate=8000)
    module, spec = prepared("YESNO", tmp_path, Transcript)
    assert spec.input == Audio(8000)
    said = {example.id: example.target for split in SPLITS for example in module.examples(split)}
    assert said["0_0_1_0_1"] == "lo lo ken lo ken"
    assert len(said) == 20


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
