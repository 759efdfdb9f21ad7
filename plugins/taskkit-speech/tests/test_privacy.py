"""Speakers and the names of their files under pseudonyms: nothing that a run leaves behind names one."""

import pytest
from pyarrow import parquet

import taskkit
from taskkit import Classes, DataError, PseudonymKey
from taskkit.plugins.discovery import discover
from taskkit_speech import sections
from taskkit_speech.table import Table

SPEAKERS = [f"speaker-{letter}" for letter in "abcdefgh"]
FILES = [f"{speaker}/{number}.wav" for speaker in SPEAKERS for number in range(2)]
RECIPE = """
title: Private
task: {name: speech.classification}
model: {name: speech.wav2vec2, conv_widths: [8, 8], conv_kernels: [160, 3], conv_strides: [80, 2], layers: 1,
  width: 8, heads: 2, position_kernel: 4, position_groups: 2}
data: {name: speech.table, table: recordings/table.csv, pseudonymise: true, key: own.key, test_share: 0.4}
loader: {batch_size: 2}
trainer: {max_epochs: 1, accelerator: cpu, precision: 32-true}
"""


@pytest.fixture
def place(recordings, tmp_path, monkeypatch):
    """A folder with recordings of eight speakers, a key and a recipe."""
    monkeypatch.chdir(tmp_path)
    recordings(*FILES, seconds=0.3, rate=8000)
    rows = [f"{file},{'xy'[n % 2]},{file.partition('/')[0]}" for n, file in enumerate(FILES)]
    (tmp_path / "recordings/table.csv").write_text("\n".join(["path,label,speaker", *rows, ""]))
    (tmp_path / "own.key").write_text("k" * 40)
    (tmp_path / "own.key").chmod(0o600)
    (tmp_path / "private.yaml").write_text(RECIPE)
    return tmp_path


def holding(folder, text):
    """The names of the files below a folder that hold a text, in themselves or in their paths."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return {path.name for path in files if text in str(path) or text.encode() in path.read_bytes()}


def test_no_speaker_and_no_file_is_in_the_run_or_in_the_cache(place, capsys):
    run = taskkit.run("private.yaml", out="run", plugins=discover({"speech"}))
    assert holding(place / "run", "speaker-") == holding(place / "cache", "speaker-") == set()
    rows = parquet.read_table(place / "run" / "predictions.parquet").to_pylist()
    assert rows
    assert "speaker-" not in f"{rows} {capsys.readouterr()}"
    key = PseudonymKey.read(place / "own.key")
    assert {row["group"] for row in rows} <= set(map(key.pseudonym, SPEAKERS))
    assert {row["id"] for row in rows} <= set(map(key.pseudonym, FILES))
    assert run.evaluate().metrics == run.metrics
    # That the search would find them.
    taskkit.run("private.yaml", ["data.pseudonymise=false", "data.key=null"], out="open", plugins=discover({"speech"}))
    assert holding(place / "open", "speaker-") == {"predictions.parquet"}
    assert holding(place / "cache", "speaker-")


def test_speakers_that_are_classes_have_pseudonyms_too(place):
    key = PseudonymKey.read(place / "own.key")
    table = place / "recordings/table.csv"
    rows = [f"{file},{file.partition('/')[0]},{('train', 'test')[n % 2]}" for n, file in enumerate(FILES)]
    table.write_text("\n".join(["path,speaker,split", *rows, ""]))
    settings = sections.Table(
        table="recordings/table.csv", pseudonymise=True, key="own.key", label_column="speaker", val_share=0
    )
    assert set(Table(settings).prepare(Classes).spec.target.names) == set(map(key.pseudonym, SPEAKERS))


def test_recordings_that_cannot_be_used_are_told_by_row_and_pseudonym(place):
    key = PseudonymKey.read(place / "own.key")
    (place / "recordings" / FILES[0]).write_bytes(b"no sound")
    (place / "recordings" / FILES[3]).unlink()
    settings = sections.Table(table="recordings/table.csv", pseudonymise=True, key="own.key")
    with pytest.raises(DataError) as caught:
        Table(settings).prepare(Classes)
    assert "speaker-" not in str(caught.value)
    assert f"row 1 ({key.pseudonym(FILES[0])})" in str(caught.value)
    assert f"row 4 ({key.pseudonym(FILES[3])}): {key.pseudonym(FILES[3])}: there is no such file" in str(caught.value)
