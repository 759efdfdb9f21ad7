"""What a terminal gets to see of names that a stranger chose."""

import os
import subprocess
import sys
from pathlib import Path

from taskkit.wording import shortened

HOSTILE = "\x1b]0;mine\x07\x1b[31mred\r\n\u202etxt.yaml"


def _taskkit(*words: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "taskkit", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, env={**os.environ, "TASKKIT_PLUGINS": ""})


def test_an_error_about_a_hostile_name_shows_it_and_sends_no_control_character(tmp_path: Path) -> None:
    (tmp_path / HOSTILE).write_text("title: [")
    ended = _taskkit("check", HOSTILE, cwd=tmp_path)
    assert ended.returncode == 2
    assert b"\\x1b]0;mine\\x07\\x1b[31mred\\r" in ended.stderr
    assert not set(ended.stdout + ended.stderr) & set(b"\x1b\x07\r")


def test_a_name_that_is_not_utf_8_can_be_printed(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.yaml")
    (tmp_path / name).write_text("nonsense: 1\n")
    ended = _taskkit("check", name, cwd=tmp_path)
    assert ended.returncode == 2
    assert rb"caf\xe9.yaml:1:1" in ended.stderr
    assert b"Traceback" not in ended.stderr


def test_a_long_text_is_shown_with_its_beginning_and_its_end() -> None:
    assert shortened("x" * 400) == "x" * 400
    found = shortened("example '" + "x" * 5000 + "': it is empty.")
    assert found.startswith("example 'xxx")
    assert found.endswith("xxx': it is empty.")
    assert len(found) == 400
