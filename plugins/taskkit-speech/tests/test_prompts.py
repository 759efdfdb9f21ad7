"""The named data sets, as they really arrive."""

import gzip

import numpy as np
import pytest
import soundfile

from taskkit import Classes, DataError, SourceError
from taskkit_speech import sections
from taskkit_speech.clips import read_clip
from taskkit_speech.facts import Audio, Masked, Transcript
from taskkit_speech.languages import Languages
from taskkit_speech.librivox import LibrivoxSample
from taskkit_speech.prompts import Prompts

SPLITS = ("train", "val", "test")


def prepared(module, cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASKKIT_CACHE", str(cache))
        try:
            return module.prepare(Transcript)
        except SourceError as reason:
            pytest.skip(f"no source within reach: {str(reason).splitlines()[0]}")


@pytest.fixture(scope="module")
def english(tmp_path_factory):
    return prepared(Prompts(sections.Prompts()), tmp_path_factory.mktemp("cache"))


def texts(data, split):
    return {example.id: example.target for example in data.examples(split)}


def test_the_english_prompts_are_clean_and_split_by_sentence(english):
    assert english.spec.input == Audio(8000)
    assert english.spec.target == Transcript("en")
    assert [len(english.examples(split)) for split in SPLITS] == [419, 58, 74]
    prompts = {key: text for split in SPLITS for key, text in texts(english, split).items()}
    assert set("".join(prompts.values())) == set("abcdefghijklmnopqrstuvwxyz' ")
    assert prompts["letters/at"] == "at"
    assert prompts["vm-Cust1"] == "folder five"
    assert prompts["spy-iax2"] == "iax"
    assert prompts["dictate/both_help"] == "press star to toggle pause press pound to enter a new dictation filename"
    assert not any(key.startswith("silence/") or key in ("beep", "tt-monkeys") for key in prompts)


def test_no_sentence_is_in_two_splits(english):
    train, val, test = (set(texts(english, split).values()) for split in SPLITS)
    assert not train & val
    assert not train & test
    assert not val & test


def test_the_splits_are_those_of_last_time(english):
    assert list(texts(english, "test"))[:3] == ["agent-incorrect", "agent-loggedoff", "astcc-followed-by-the-pound-key"]
    assert english.spec.fingerprint.startswith("prompts-en-aa8b08131")


def test_the_protocol_says_what_was_left_out_and_that_there_is_one_speaker(english):
    protocol = english.spec.protocol
    assert protocol["left out"] == {"no recording": 1, "not speech": 17}
    assert protocol["normaliser"] == "letters-v1 (en)"
    assert protocol["speakers"] == "one, Allison Smith, in all splits"


def test_a_prompt_can_be_heard(english):
    samples = read_clip(english.examples("test")[0].input, 16000)
    assert len(samples) > 16000
    assert samples.abs().max() > 1000


def test_the_prompts_have_no_errors_and_their_one_speaker_is_told(english):
    problems = list(english.inspect())
    assert [problem for problem in problems if problem.severity == "error"] == []
    assert {"speaker leak"} <= {problem.kind for problem in problems}


def mine(folder, text):
    (folder / "digits").mkdir()
    for name in ("hello", "digits/1", "beep", "doubt"):
        soundfile.write(folder / f"{name}.wav", np.random.default_rng(0).standard_normal(8000) * 0.1, 8000)
    (folder / "core-sounds-en.txt.gz").write_bytes(text)
    return Prompts(sections.Prompts(root=str(folder)))


def test_prompts_are_read_from_a_folder_of_ones_own(tmp_path):
    text = (
        "; a comment\nhello: Hello (cheerfully) 2 U [x]\ndigits/1: one\nbeep: [beep]\ndoubt: I [really] do\nmore: more"
    )
    data = mine(tmp_path, gzip.compress(text.encode(), mtime=0)).prepare(Transcript)
    assert {key: text for split in SPLITS for key, text in texts(data, split).items()} == {
        "digits/1": "one",
        "hello": "hello two u",
    }
    assert data.spec.protocol["left out"] == {"in doubt what is said": 1, "no recording": 1, "not speech": 1}


def test_a_task_that_makes_its_own_targets_gets_none(tmp_path):
    data = mine(tmp_path, gzip.compress(b"hello: Hello", mtime=0)).prepare(Masked)
    assert [example.target for split in SPLITS for example in data.examples(split)] == [None]


def test_damaged_transcripts_are_named(tmp_path):
    with pytest.raises(DataError, match=r"core-sounds-en\.txt\.gz: .*A gzip file of UTF-8 was expected"):
        mine(tmp_path, b"damaged").prepare(Transcript)


def test_each_language_is_a_class_and_keeps_the_split_of_its_prompts(tmp_path):
    for language in ("en", "es", "fr", "it", "ru"):
        folder = tmp_path / language
        folder.mkdir()
        keys = [f"{language}{number}" for number in range(20)]
        for key in keys:
            soundfile.write(folder / f"{key}.wav", np.random.default_rng(0).standard_normal(800) * 0.1, 8000)
        (folder / f"core-sounds-{language}.txt.gz").write_bytes(
            gzip.compress("\n".join(f"{k}: {k}" for k in keys).encode(), mtime=0)
        )
    module = Languages(sections.Languages(root=str(tmp_path)))
    data = module.prepare(Classes)
    names = data.spec.target.names
    assert names == ("en", "es", "fr", "it", "ru")
    assert sum(data.spec.target.counts) == len(data.examples("train"))
    french = Prompts(sections.Prompts("fr", root=str(tmp_path / "fr"))).prepare(Transcript)
    for split in SPLITS:
        ours = {example.id for example in data.examples(split) if names[example.target] == "fr"}
        assert ours == {f"fr/{key}" for key in texts(french, split)}
    # For a task that makes its own targets there is nothing to be skewed.
    assert "skew" not in {problem.kind for problem in module.prepare(Masked).inspect()}


def test_the_sample_of_librivox_has_its_transcripts(tmp_path):
    data = prepared(LibrivoxSample(sections.LibrivoxSample()), tmp_path)
    assert data.spec.input == Audio(16000)
    assert [len(data.examples(split)) for split in SPLITS] == [6, 2, 2]
    assert texts(data, "test")["cards/005"] == "eight of spades four of clubs seven of hearts"
    assert len(read_clip(data.examples("test")[1].input, 16000)) == 56040
