import json
import os
from itertools import chain

import numpy as np
import pytest
import soundfile

from taskkit import Classes, DataError
from taskkit_speech import sections
from taskkit_speech.audio import Clip
from taskkit_speech.clips import read_clip
from taskkit_speech.facts import Audio, Masked, Transcript
from taskkit_speech.table import Table

SPLITS = ("train", "val", "test")
HASHED = "by a hash of the speaker, or else the file"
MANY = [f"{number:02d}.wav" for number in range(40)]


@pytest.fixture
def table(recordings):
    """What is prepared of a table of this text, whose recordings are noise of one second."""

    def prepare(text, *names, target=Transcript, suffix=".csv", **settings):
        root = recordings(*names)
        path = root / f"table{suffix}"
        path.write_text(text)
        return Table(sections.Table(table=str(path), **settings)).prepare(target)

    return prepare


def many(column="text", cells=None, names=MANY):
    cells = cells or [f"this is sentence {name[:2]}" for name in names]
    rows = (f"{name},{cell}\n" for name, cell in zip(names, cells, strict=True))
    return f"path,{column}\n{''.join(rows)}"


def ids(prepared, split):
    return [example.id for example in prepared.examples(split)]


def targets(prepared, split="train"):
    return [example.target for example in prepared.examples(split)]


def test_recordings_without_splits_are_split_by_a_hash_that_never_moves(table):
    prepared = table(many(), *MANY[:30], *MANY[30:])
    before = {split: ids(prepared, split) for split in SPLITS}
    assert sorted(chain(*before.values())) == MANY
    assert all(before.values())
    prepared = table(many(names=[*MANY, "zz.wav"]), "zz.wav")
    for split, names in before.items():
        assert set(names) <= set(ids(prepared, split))


def test_listed_splits_are_used_as_they_are(table):
    text = "path,text,split\n0.wav,one two,train\n1.wav,three,Dev\n2.wav,four,test\n"
    prepared = table(text, "0.wav", "1.wav", "2.wav")
    assert [ids(prepared, split) for split in SPLITS] == [["0.wav"], ["1.wav"], ["2.wav"]]
    assert prepared.spec.protocol["splits"] == "test, train, val as listed"


@pytest.mark.parametrize(
    ("listed", "settings", "words", "train"),
    [
        ([], {}, f"{HASHED}: val 0.1, test 0.2", range(20, 40)),
        ([], {"val_share": 0, "test_share": 0}, f"{HASHED}: all train", [40]),
        (["train"], {}, f"of those listed as train val 0.1, test 0.2 {HASHED}", range(20, 40)),
        (["train"], {"val_share": 0, "test_share": 0}, "train as listed", [40]),
        (["train", "test"], {}, f"test as listed; of those listed as train val 0.1 {HASHED}", range(10, 20)),
        (["train", "test"], {"val_share": 0}, "test, train as listed", [20]),
    ],
)
def test_the_protocol_says_truly_how_recordings_came_into_their_splits(table, listed, settings, words, train):
    rows = "".join(f"{name},this is {name[:2]},{cell}\n" for name, cell in zip(MANY, listed * len(MANY), strict=False))
    prepared = table(f"path,text,split\n{rows}" if listed else many(), *MANY, **settings)
    assert prepared.spec.protocol["splits"] == words
    assert len(prepared.examples("train")) in train


def test_no_speaker_is_in_two_splits(table):
    speaker_of = {name: f"s{number % 8}" for number, name in enumerate(MANY)}
    rows = "".join(f"{name},this is {name[:2]},{speaker}\n" for name, speaker in speaker_of.items())
    prepared = table(f"path,text,speaker\n{rows}", *MANY, test_share=0.4)
    speakers = [{speaker_of[name] for name in ids(prepared, split)} for split in SPLITS]
    assert sorted(chain(*speakers)) == sorted(set(chain(*speakers)))
    assert speakers[0]
    assert speakers[2]
    assert {one.group for one in prepared.examples("test")} == speakers[2], "the utterances of a speaker are alike"


def test_transcripts_are_normalised_and_the_protocol_says_how(table):
    prepared = table(
        "path,text\n0.wav,Press 2!\n", "0.wav", language="en", val_share=0, test_share=0, normaliser="letters-v1"
    )
    assert targets(prepared) == ["press two"]
    assert prepared.spec.target == Transcript("en")
    assert prepared.spec.protocol["normaliser"] == "letters-v1 (en)"
    prepared = table("path,text\n0.wav,Press 2!\n", "0.wav", val_share=0, test_share=0, normaliser="plain-v1")
    assert targets(prepared) == ["Press 2!"]


def test_the_same_table_can_be_classified(table):
    text = "path,text,label,split\n0.wav,hm,yes,train\n1.wav,hm,no,train\n2.wav,hm,yes,test\n"
    prepared = table(text, "0.wav", "1.wav", "2.wav", target=Classes, val_share=0)
    assert prepared.spec.target == Classes(("no", "yes"), (1, 1))
    assert targets(prepared) == [1, 0]
    assert targets(prepared, "test") == [1]


def test_sound_alone_needs_neither_transcripts_nor_classes(table):
    prepared = table("path\n0.wav\n1.wav\n", "0.wav", "1.wav", target=Masked, val_share=0, test_share=0)
    assert prepared.spec.target == Masked()
    assert targets(prepared) == [None, None]


def test_spans_of_one_recording_are_examples_of_their_own_in_one_split(table):
    text = "path,text,start,end\n0.wav,one two,0,0.5\n0.wav,three,0.5,\n0.wav,all,,\n"
    prepared = table(text, "0.wav", val_share=0, test_share=0)
    assert ids(prepared, "train") == ["0.wav#0-0.5", "0.wav#0.5-", "0.wav"]
    assert [len(read_clip(example.input, 16000)) for example in prepared.examples("train")] == [8000, 8000, 16000]


def test_json_lines_hold_times_as_numbers(table, recordings):
    rows = [{"audio": "0.wav", "sentence": "hi", "start": 0.25, "end": 0.5}]
    prepared = table(
        "\n".join(map(json.dumps, rows)),
        "0.wav",
        suffix=".jsonl",
        path_column="audio",
        text_column="sentence",
        val_share=0,
        test_share=0,
    )
    assert prepared.examples("train")[0].input == Clip(recordings() / "0.wav", 0.25, 0.5)


def test_paths_may_be_relative_to_another_folder(recordings, tmp_path):
    root = recordings("in/0.wav")
    (tmp_path / "table.tsv").write_text("path\ttext\n0.wav\tone, two\n")
    module = Table(sections.Table(str(tmp_path / "table.tsv"), root=str(root / "in"), val_share=0, test_share=0))
    assert targets(module.prepare(Transcript)) == ["one two"]


def test_a_table_of_windows_with_decimal_commas_and_labels_that_measure(table, caplog):
    text = 'path;start;label;split\nin\\0.wav;"0,25";1,5;train\nin\\1.wav;0;2;train\n'
    prepared = table(text, "in/0.wav", "in/1.wav", target=Classes, val_share=0, test_share=0)
    assert ids(prepared, "train") == ["in/0.wav#0.25-", "in/1.wav#0-"]
    assert "1 of 2 labels look like numbers with decimal commas, such as '1,5'" in caplog.text


def test_files_of_one_rate_state_it_and_others_do_not(table, recordings):
    assert table("path,text\n0.wav,a b\n", "0.wav", val_share=0, test_share=0).spec.input == Audio(16000)
    recordings("1.wav", rate=8000)
    assert table("path,text\n0.wav,a b\n1.wav,c\n", val_share=0, test_share=0).spec.input == Audio(None)


def test_the_fingerprint_is_that_of_sound_transcripts_and_splits(table, recordings):
    first = table(many(), *MANY).spec.fingerprint
    assert table(many()).spec.fingerprint == first
    assert table(many(), test_share=0.5).spec.fingerprint != first
    assert table(many(cells=["other words"] * len(MANY))).spec.fingerprint != first
    recordings(MANY[0])
    assert table(many()).spec.fingerprint != first


def test_recordings_that_have_not_changed_are_not_decoded_again(table, recordings):
    first = table(many(), *MANY).spec.fingerprint
    path = recordings() / MANY[0]
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert table(many()).spec.fingerprint == first
    os.utime(path)
    assert table(many()).spec.fingerprint != first


@pytest.fixture
def faulty(recordings):
    """A table in which each kind of fault is once, and three good recordings."""
    root = recordings("0.wav", "1.wav", "2.wav", "mute.wav", "short.wav", "blank.wav", "span.wav")
    recordings("silent.wav", loudness=0)
    recordings("cut.wav")
    (root / "cut.wav").write_bytes((root / "cut.wav").read_bytes()[:5000])
    (root / "text.wav").write_text("no audio")
    (root / "table.csv").write_text(
        "path,text,end\n0.wav,zero,\n1.wav,one,\n2.wav,two,\nnone.wav,there is none,\ncut.wav,cut short,\n"
        f"text.wav,not audio,\nsilent.wav,nothing,\nshort.wav,{'too much ' * 9},\nblank.wav,?!,\nspan.wav,outside,9\n"
    )
    return root / "table.csv"


FAULTS = {"unreadable": 3, "missing": 1, "silent": 1, "transcript too long": 1, "empty transcript": 1}


def test_what_cannot_be_used_is_refused_with_all_its_reasons(faulty):
    with pytest.raises(DataError) as refused:
        Table(sections.Table(str(faulty))).prepare(Transcript)
    message = str(refused.value)
    counts = "3 unreadable, 1 missing, 1 silent, 1 transcript too long, 1 empty transcript"
    assert f"7 of 10 recordings cannot be used ({counts})" in message
    assert "row 4 (none.wav)" in message
    assert "cut.wav: it is cut short" in message
    assert "… and 2 more" in message
    assert "data.unusable=skip" in message


def test_what_cannot_be_used_is_left_out_when_asked_counted_and_named(faulty, caplog):
    module = Table(sections.Table(str(faulty), unusable="skip", val_share=0, test_share=0))
    prepared = module.prepare(Transcript)
    assert ids(prepared, "train") == ["0.wav", "1.wav", "2.wav"]
    assert prepared.spec.protocol["left out"] == FAULTS
    assert "7 of 10 recordings cannot be used" in caplog.text
    assert "none.wav" in caplog.text
    found = {problem.kind: problem for problem in prepared.inspect()}
    assert FAULTS.keys() <= found.keys()
    assert found["missing"].examples == ("none.wav",)
    assert found["unreadable"].examples == ("cut.wav", "text.wav", "span.wav#0-9")


def test_a_listed_split_of_which_nothing_can_be_used_is_not_made_of_the_training_split(recordings, caplog):
    root = recordings("0.wav", "1.wav", "2.wav", "3.wav", "4.wav")
    (root / "table.csv").write_text(
        "path,text,split\n0.wav,zero,train\n1.wav,one,train\n2.wav,?!,val\n3.wav,,val\n4.wav,four,test\n"
    )
    data = Table(sections.Table(str(root / "table.csv"), unusable="skip", val_share=0.5)).prepare(Transcript)
    assert ids(data, "train") == ["0.wav", "1.wav"]
    assert "the val split is empty: none that is listed there can be used" in caplog.text
    assert data.spec.protocol["splits"] == "test, train as listed"


def test_sound_alone_does_not_mind_bad_transcripts(faulty):
    module = Table(sections.Table(str(faulty), unusable="skip", val_share=0, test_share=0))
    assert ids(module.prepare(Masked), "train") == ["0.wav", "1.wav", "2.wav", "short.wav", "blank.wav"]


def test_rates_and_samples_that_cannot_be_are_faults_of_their_own(recordings):
    root = recordings("0.wav")
    sound, _ = soundfile.read(root / "0.wav")
    soundfile.write(root / "rate.wav", sound, 1)
    soundfile.write(root / "nan.wav", np.full(16000, np.nan), 16000, subtype="FLOAT")
    sound[7] = np.inf
    soundfile.write(root / "inf.wav", sound, 16000, subtype="FLOAT")
    (root / "table.csv").write_text("path,text\n0.wav,zero\nrate.wav,one\nnan.wav,two\ninf.wav,three\n")
    module = Table(sections.Table(str(root / "table.csv"), unusable="skip", val_share=0, test_share=0))
    for _ in range(2):  # The second time it is remembered.
        prepared = module.prepare(Transcript)
        assert ids(prepared, "train") == ["0.wav"]
        assert prepared.spec.protocol["left out"] == {"not a number": 2, "sample rate": 1}
    found = {problem.kind: problem.examples for problem in prepared.inspect()}
    assert found["not a number"] == ("nan.wav", "inf.wav")
    assert found["sample rate"] == ("rate.wav",)
    with pytest.raises(DataError, match="2 not a number, 1 sample rate"):
        Table(sections.Table(str(root / "table.csv"))).prepare(Transcript)


def test_leaving_out_everything_is_refused(table, recordings):
    recordings("0.wav", loudness=0)
    with pytest.raises(DataError, match="At least one that can be used was expected"):
        table("path,text\n0.wav,hm\n", unusable="skip")


def test_opposite_channels_that_cancel_out_are_silent(table, recordings):
    root = recordings("1.wav")
    sound = np.random.default_rng(0).standard_normal(16000) * 0.1
    soundfile.write(root / "0.wav", np.stack([sound, -sound], axis=1), 16000)
    with pytest.raises(DataError, match="1 silent"):
        table("path,text\n0.wav,hm\n1.wav,hm\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,text\n0.wav,a\n", "no column 'path'. It has file, text.*Set data.path_column"),
        ("path,txt\n0.wav,a\n", "no column 'text'. It has path, txt. Did you mean 'txt'"),
        ("path,text\n,a\n", "row 1: column 'path' is empty"),
        ("path,text,split\n0.wav,a,tset\n", "row 1: 'tset' is not a split"),
        ("path,text,start\n0.wav,a,soon\n", "row 1: 'soon' is not a time"),
        ("path,text\n0.wav,a\n0.wav,b\n", "row 2: 0.wav is there twice.*row 1 has it"),
        ("path,text,split\n0.wav,a,test\n", "no recording is left to train on"),
        ("path,text\n0.wav,call 7\n", "row 1: data.language=xx: numbers cannot be spelled out"),
    ],
)
def test_a_mistake_in_a_table_is_explained(table, text, message):
    with pytest.raises(DataError, match=message):
        table(text, "0.wav", language="xx")


def test_a_class_that_is_never_trained_is_named(table):
    with pytest.raises(DataError, match="row 2: no training example has its class 'b'"):
        table("path,label,split\n0.wav,a,train\n1.wav,b,test\n", "0.wav", "1.wav", target=Classes)


def test_a_split_that_chance_left_empty_is_told(table, caplog):
    prepared = table("path,text\n0.wav,zero\n", "0.wav", val_share=0.01, test_share=0.01)
    assert ids(prepared, "train") == ["0.wav"]
    assert "the test split is empty" in caplog.text


def test_where_all_recordings_are_missing_it_is_said_where_they_were_looked_for(table, tmp_path):
    (tmp_path / "recordings").mkdir()
    with pytest.raises(DataError) as refused:
        table(many())
    message = str(refused.value)
    assert "40 of 40 recordings cannot be used (40 missing)" in message
    assert f"Paths are relative to {tmp_path / 'recordings'}; data.root=FOLDER names another folder." in message
