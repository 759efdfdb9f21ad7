"""Odd images through the command line itself: exit codes, words and no traceback."""

import os
import struct
import subprocess
import sys

import pytest
from PIL import Image

RECIPE = """
title: Odd images
task: {name: image.classification}
model: {name: image.mlp, image_size: 8, widths: [4]}
data: {name: image.folder, root: photos, val_share: 0, test_share: 0, augment: false}
loader: {batch_size: 4, cache: false}
trainer: {max_epochs: 1, accelerator: cpu}
"""
MANY = [f"{kind}/{number}.png" for kind in "ab" for number in range(4)]


@pytest.fixture
def taskkit(photos, tmp_path):
    """Call taskkit beside a folder of photos and a recipe of them."""
    photos(*MANY)
    (tmp_path / "odd.yaml").write_text(RECIPE)

    def call(*words):
        command = [sys.executable, "-m", "taskkit", *words]
        ended = subprocess.run(
            command, cwd=tmp_path, capture_output=True, env={**os.environ, "TASKKIT_PLUGINS": "image"}
        )
        assert b"Traceback" not in ended.stderr
        assert not set(ended.stdout + ended.stderr) & set(b"\x1b\r")
        return ended.returncode, ended.stdout.decode(), ended.stderr.decode()

    return call


def test_odd_images_are_trained_on_asked_about_and_named(taskkit, tmp_path):
    text = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x02\0\0\x006\0\0\0\0\0\0\0"
    Image.new("RGB", (10, 12)).save(tmp_path / "photos/a/text.jpg", exif=text)
    Image.new("RGBA", (10, 12)).save(tmp_path / "photos" / os.fsdecode(b"a/\x1b[2J\xe9.png"))
    Image.new("L", (4, 4)).save(
        tmp_path / "photos/b/moves.gif", save_all=True, append_images=[Image.new("L", (4, 4), 9)]
    )
    (tmp_path / "photos/b/gone.png").symlink_to("none.png")
    os.mkfifo(tmp_path / "photos/b/pipe.png")

    code, said, errors = taskkit("run", "odd.yaml", "--out", "out")
    assert code == 0, errors
    assert "photos: 2 left out: 1 whose link leads nowhere (b/gone.png), 1 no regular file (b/pipe.png)" in said
    assert "1 of 11 files hold several pictures, of which the first is read: b/moves.gif" in said

    (tmp_path / "list.csv").write_text("path\nphotos/a/0.png\nphotos/b/1.png\n")
    code, said, errors = taskkit("predict", "out", "photos/a", "list.csv")
    assert code == 0, errors
    names = [line.partition("\t")[0] for line in said.splitlines()]
    assert names == [
        r"\x1b[2J\xe9.png",
        "0.png",
        "1.png",
        "2.png",
        "3.png",
        "text.jpg",
        "photos/a/0.png",
        "photos/b/1.png",
    ]


def test_images_that_cannot_be_used_are_all_named(taskkit, tmp_path):
    path = tmp_path / "photos/a/bomb.jpg"
    Image.new("RGB", (8, 8)).save(path)
    whole = path.read_bytes()
    start = whole.index(b"\xff\xc0") + 5
    path.write_bytes(whole[:start] + struct.pack(">HH", 65500, 65500) + whole[start + 4 :])
    (tmp_path / "photos/b/half.jpg").write_bytes(whole[: len(whole) // 2])
    code, _, errors = taskkit("check", "odd.yaml", "--data")
    assert code == 2
    assert "a/bomb.jpg: it is too large by its header" in errors
    assert "b/half.jpg: this is not an image that can be read (" in errors
