import pytest

from taskkit import DataError
from taskkit_speech.audio import Clip
from taskkit_speech.clips import read_clip
from taskkit_speech.reading import read_audio
from taskkit_speech.sections import ReadAudio


def test_an_audio_file_is_one_example_named_as_it_was_given(recordings):
    path = recordings("a.wav") / "a.wav"
    (example,) = read_audio(str(path), ReadAudio())
    assert (example.id, example.input, example.target) == (str(path), Clip(path), None)


def test_a_folder_is_its_recordings_in_order_and_what_else_is_there_is_named(recordings, caplog):
    root = recordings("b.wav", "a.flac", "more/c.OGG")
    read_audio(str(root), ReadAudio())
    assert caplog.text == ""
    (root / "more" / "d.m4a").write_text("no audio that can be read")
    (root / "notes.txt").write_text("no audio")
    assert [example.id for example in read_audio(str(root), ReadAudio())] == ["a.flac", "b.wav", "more/c.OGG"]
    assert "2 left out: 2 of another kind by name (more/d.m4a, notes.txt). Files that end in .aif, " in caplog.text


def test_a_table_is_one_example_a_row_with_its_span(recordings):
    root = recordings("a.wav")
    (root / "list.csv").write_text("file,start,end\na.wav,,0.5\na.wav,0.5,\n")
    examples = read_audio(str(root / "list.csv"), ReadAudio(column="file"))
    assert [example.id for example in examples] == ["a.wav#0-0.5", "a.wav#0.5-"]
    assert examples[0].input == Clip(root / "a.wav", None, 0.5)


def test_a_table_from_a_spreadsheet_is_read_as_the_options_say(recordings):
    root = recordings("grün.wav")
    (root / "list.csv").write_bytes("path;said by\ngrün.wav;Łucja\n".encode("cp1250"))
    (example,) = read_audio(str(root / "list.csv"), ReadAudio(delimiter=";", encoding="windows-1250"))
    assert example.columns == {"path": "grün.wav", "said by": "Łucja"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none.wav", r"none\.wav: there is no such file. An audio file, a folder of them or a table"),
        ("empty", "empty: no file in it is of a kind that is read"),
        ("list.csv", r"list\.csv: it has no column 'path'"),
        ("none.csv", r"none\.csv: it cannot be read"),
    ],
)
def test_what_holds_no_recordings_is_explained(tmp_path, source, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.csv").write_text("file\na.wav\n")
    with pytest.raises(DataError, match=message):
        read_audio(str(tmp_path / source), ReadAudio())


def test_a_limit_of_seconds_is_that_of_every_clip(recordings):
    root = recordings("a.wav")
    (root / "list.csv").write_text("path\na.wav\n")
    for source in (root, root / "a.wav", root / "list.csv"):
        (example,) = read_audio(str(source), ReadAudio(max_seconds=0.5))
        with pytest.raises(DataError, match=r"a\.wav: it lasts 1 s by its header. At most 0\.5 s were expected"):
            read_clip(example.input, 16000)
