"""Odd recordings through the command line itself: exit codes, words and no traceback."""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

RECIPE = """
title: Odd recordings
task: {name: speech.classification}
model: {name: speech.wav2vec2, conv_widths: [8, 8], conv_kernels: [160, 3], conv_strides: [80, 2], layers: 1,
  width: 8, heads: 2, position_kernel: 4, position_groups: 2}
data: {name: speech.table, table: table.csv, root: recordings, val_share: 0.01, test_share: 0.01}
loader: {batch_size: 4, cache: false, drop_last: false}
trainer: {max_epochs: 1, accelerator: cpu}
"""


@pytest.fixture
def taskkit(recordings, tmp_path):
    """Call taskkit beside recordings of three speakers, a table and a recipe of them."""
    names = [f"{number}.wav" for number in range(6)]
    recordings(*names, seconds=0.3, rate=8000)
    rows = "".join(f"{name},{'ab'[number % 2]},s{number % 3}\n" for number, name in enumerate(names))
    (tmp_path / "table.csv").write_text(f"path,label,speaker\n{rows}")
    (tmp_path / "odd.yaml").write_text(RECIPE)

    def call(*words):
        command = [sys.executable, "-m", "taskkit", *words]
        environment = {**os.environ, "TASKKIT_PLUGINS": "speech"}
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, env=environment)
        assert b"Traceback" not in ended.stderr
        assert not set(ended.stdout + ended.stderr) & set(b"\x1b\r")
        return ended.returncode, ended.stdout.decode(), ended.stderr.decode()

    return call


def test_odd_recordings_are_trained_on_asked_about_and_named(taskkit, tmp_path):
    soundfile.write(tmp_path / "recordings/0.wav", np.random.default_rng(0).standard_normal(8000) * 0.1, 22051)
    folder = tmp_path / "new"
    folder.mkdir()
    soundfile.write(os.fsencode(folder) + b"/\x1b[2J\xe9.wav", np.zeros(1), 8000, format="WAV")
    soundfile.write(folder / "b.flac", np.random.default_rng(1).standard_normal((4000, 2)) * 0.1, 44100)
    (folder / "gone.wav").symlink_to("none.wav")
    code, said, errors = taskkit("run", "odd.yaml", "model.sample_rate=8000", "--out", "out")
    assert code == 0, errors
    assert "There is no validation split" in said
    assert "There is no test split: a run ends without a test score." in said

    code, said, errors = taskkit("predict", "out", "new")
    assert code == 0, errors
    assert "new: 1 left out: 1 whose link leads nowhere (gone.wav)" in errors
    assert [line.partition("\t")[0] for line in said.splitlines()] == [r"\x1b[2J\xe9.wav", "b.flac"]


def test_recordings_that_cannot_be_used_are_counted_and_named(taskkit, tmp_path):
    (tmp_path / "recordings/1.wav").write_text("no sound")
    (tmp_path / "recordings/2.wav").unlink()
    os.mkfifo(tmp_path / "recordings/2.wav")
    code, _, errors = taskkit("check", "odd.yaml", "--data")
    assert code == 2
    assert "2 of 6 recordings cannot be used (1 unreadable, 1 missing)" in errors
    assert "2.wav: this is no regular file" in errors
