"""What a run's record asks of the machine that it is made on."""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from taskkit.runs.record import git_state


def test_the_state_of_a_checkout_runs_no_program_that_the_checkout_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "program.sh"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o700)
    who = ["-c", "user.name=one", "-c", "user.email=one@example.org"]
    for words in (
        ["init", "--quiet"],
        ["add", "program.sh"],
        [*who, "commit", "--quiet", "--message", "x"],
        ["config", "core.fsmonitor", str(program)],
    ):
        subprocess.run(["git", *words], check=True)
    state = git_state()
    assert state is not None
    assert state["dirty"] is False
    assert not (tmp_path / "ran").exists()


def test_a_full_disk_is_one_error_that_names_the_file(
    tmp_path: Path, environment: Callable[..., dict[str, str]]
) -> None:
    (tmp_path / "digits.yaml").write_text(
        "task: {name: image.classification}\nmodel: {name: image.mlp}\ndata: {name: image.digits}\n"
        "trainer: {max_epochs: 1}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "taskkit", "run", "digits.yaml", "--out", "run"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        # As on a disk without room: no file may hold more.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200)),
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("run/run.json: the disk is full or a file is larger than it may be")
